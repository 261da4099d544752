#include "cast.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <sstream>

namespace keyrack::crash {

namespace {

constexpr std::size_t kNeverUsed = 19;

/// Nothing of an actor is destroyed: what it holds, it holds until it is killed.
[[noreturn]] void stay() {
  for (;;) ::pause();
}

void belong_to_harness() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);    // where only parents may trace otherwise
}

void announce(Stage& stage) {
  stage.pid.store(::getpid());
  stage.reach(Stage::ready);
}

[[noreturn]] void play_victim(const Scenario& scenario, Actor& actor, Board& board) {
  if (!scenario.opens) {
    actor.open_locks();
    (void)actor.names();
    // What a thread does once is swept once: a call that changes nothing goes before the others.
    if (!scenario.first) (void)actor.unlock(key(kNeverUsed), "victim");
  }
  if (scenario.victim) scenario.victim(actor);
  if (scenario.forks) {
    board.helper.pid.store(::getpid());
    if (::fork() != 0) stay();
    belong_to_harness();
  }
  announce(board.victim);
  (void)board.victim.await(Stage::go, std::chrono::hours(1));
  if (scenario.call) {
    perform(scenario.call, actor, board.victim);
    board.victim.reach(Stage::done);
  }
  stay();
}

[[noreturn]] void play_helper(const Scenario& scenario, Actor& actor, Board& board) {
  actor.open_locks();
  if (scenario.helper == Helper::waits) announce(board.helper);
  board.helper.outcome.set(scenario.helps(actor));
  if (scenario.helper != Helper::waits) announce(board.helper);
  board.helper.reach(scenario.helper == Helper::waits ? Stage::done : Stage::ready);
  stay();
}

[[noreturn]] void play(const std::string& order, Board& board) {
  std::istringstream words(order);
  int role = 0;
  std::size_t number = 0;
  std::string segment, options;
  words >> role >> number >> segment >> options;
  auto& actor = *new Actor(segment, options, board.notes);
  if (role == static_cast<int>(Role::helper)) play_helper(scenarios()[number], actor, board);
  play_victim(role == static_cast<int>(Role::rescuer) ? rescues()[number] : scenarios()[number], actor, board);
}

}    // namespace

void perform(const Call& call, Actor& actor, Stage& stage) { stage.outcome.set(call(actor)); }

Cast::Cast(std::string prefix)
    : prefix_(std::move(prefix)), nursery_([this](testing::Child::Link& link) {
        (void)scenarios();    // made once, not in each child
        (void)rescues();
        (void)key(0);
        ::signal(SIGCHLD, SIG_IGN);    // nobody waits for them here
        for (;;) {
          const std::string order = link.hear();
          const pid_t child = ::fork();
          if (child == 0) {
            belong_to_harness();
            ::signal(SIGCHLD, SIG_DFL);
            try {
              play(order, *board_);
            } catch (const std::exception& error) {
              board_->victim.outcome.set(std::string("threw ") + error.what());
              ::_exit(1);
            }
          }
          if (child < 0) link.say("fork");
        }
      }) {}

void Cast::enter(Role role, std::size_t scenario, const std::string& segment, const std::string& options) {
  nursery_.tell(std::to_string(static_cast<int>(role)) + " " + std::to_string(scenario) + " " + segment + " " +
                options);
}

}    // namespace keyrack::crash
