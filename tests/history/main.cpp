// keyrack_history: lets processes call keyrack at random, kills some, records each call with its interval, and checks
// that there is an order of the calls that the rules allow (linearizability), for each key and each family of names.
#include "checker.hpp"
#include "processes/scratch_segment.hpp"
#include "reference/text.hpp"
#include "worker.hpp"

#include <keyrack/testing/child.hpp>

#include <fmt/format.h>
#include <sys/mman.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <thread>

namespace keyrack::history {
namespace {

using keyrack::testing::Child;
using std::chrono::steady_clock;

struct Options {
  std::uint64_t calls = 1'000'000;
  std::size_t processes = 4, threads = 2;
  std::uint32_t kills = 5;    // in ten windows
  std::uint32_t seed = std::random_device()();
  std::string format = "text";
  std::string url;                         // of another backend; empty: a segment of our own
  std::size_t window_calls = kLocksMax;    // of each thread
  std::uint32_t age_ms = 2;
  std::uint32_t death_s = 0, effect_s = 0;
  std::uint32_t unavailable = 0;    // percent of the calls, at the most
  Tampering tampering = Tampering::none;
};

Board& new_board() {
  void* place =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  return *static_cast<Board*>(place);    // all zero is where it begins
}

constexpr reference::Instant kSecond = 1'000'000'000;

reference::Instant now_ns() { return steady_clock::now().time_since_epoch().count(); }

template <std::size_t size>
std::uint64_t sum(const std::array<std::uint64_t, size>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

/// The checker is a process of its own, so that this one stays without threads and can fork.
class CheckerProcess {
 public:
  CheckerProcess(const Board& board, Tampering tampering, const Licence& licence)
      : child_([&board, tampering, licence](const Child::Link& parent) {
          Checker checker(tampering, licence);
          for (;;) {
            const auto window = static_cast<std::uint32_t>(std::stoul(parent.hear()));
            const auto wrong = checker.check(board, window);
            const Counts& counts = checker.counts();
            parent.say(std::string(reinterpret_cast<const char*>(&counts), sizeof counts) +
                       wrong.value_or("").substr(0, 30'000));
          }
        }) {}

  void begin(std::uint32_t window) {
    child_.tell(std::to_string(window));
    busy_ = true;
  }

  /// Waits for it. False: something cannot have been; see wrong().
  bool end() {
    if (!std::exchange(busy_, false)) return true;
    const std::string answer = child_.hear(std::chrono::minutes(10));
    if (answer.size() < sizeof counts_) {
      wrong_ = "the checker: " + answer;
    } else {
      std::memcpy(&counts_, answer.data(), sizeof counts_);
      wrong_ = answer.substr(sizeof counts_);
    }
    return wrong_.empty();
  }

  const Counts& counts() const { return counts_; }
  std::uint64_t calls() const { return sum(counts_.locks) + sum(counts_.names) + counts_.killed + counts_.unavailable; }
  const std::string& wrong() const { return wrong_; }

 private:
  Child child_;
  bool busy_ = false;
  Counts counts_;
  std::string wrong_;
};

class Recording {
 public:
  explicit Recording(const Options& options)
      : options_(options),
        board_(new_board()),
        checker_(board_, options.tampering, {options.death_s * kSecond, options.effect_s * kSecond}),
        dice_(options.seed) {
    for (std::size_t slot = 0; slot < options_.processes; ++slot) start(slot);
  }
  ~Recording() {
    board_.stop = true;
    for (auto& worker : workers_) worker.reset();
    ::munmap(&board_, sizeof board_);
  }

  /// Empty: all is well.
  std::string run() {
    const bool terminal = ::isatty(STDERR_FILENO) != 0;
    while (checker_.calls() < options_.calls) {
      if (auto wrong = record(); !wrong.empty()) return wrong;
      if (!checker_.end()) return checker_.wrong();
      checker_.begin(board_.window);
      if (terminal) show_progress();
    }
    if (!checker_.end()) return checker_.wrong();
    if (terminal) fmt::print(stderr, "\n");
    board_.stop = true;
    for (std::size_t slot = 0; slot < options_.processes; ++slot) {
      if (const int status = workers_[slot]->join(); status != 0) return fmt::format("a process ended with {}", status);
    }
    return options_.url.empty() ? tests::findings_of(segment_.name()) : std::string();
  }

  const Counts& counts() const { return checker_.counts(); }
  std::uint64_t calls() const { return checker_.calls(); }
  std::uint64_t kills() const { return kills_; }
  std::uint32_t windows() const { return board_.window; }
  double seconds() const { return std::chrono::duration<double>(steady_clock::now() - begun_).count(); }

 private:
  void start(std::size_t slot) {
    const Worker worker{slot,           options_.threads,  ++last_process_,
                        options_.seed,  board_.window + 1, options_.window_calls,
                        options_.age_ms};
    const std::string url = options_.url.empty() ? segment_.url("slots=96&sessions=16") : options_.url;
    workers_[slot] = std::make_unique<Child>([this, url, worker](Child::Link&) { work(board_, url, worker); });
    processes_[slot] = worker.process;
  }

  /// One window. Not empty: a process has ended by itself.
  std::string record() {
    const std::uint32_t window = board_.window + 1;
    for (auto& process : board_.pages[window % 2]) {
      for (Page& page : process) page.locks.count = page.names.count = 0;
    }
    board_.deaths[window % 2] = {};
    board_.window = window;
    const auto begun_at = now_ns();
    const auto kill_at = begun_at + static_cast<reference::Instant>(dice_()) % std::max(last_window_, kSecond / 125);
    bool kill = dice_() % 10 < options_.kills;
    while (!all_finished(window)) {
      if (kill && now_ns() >= kill_at) {
        kill_one(window);
        kill = false;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      for (std::size_t slot = 0; slot < options_.processes; ++slot) {
        if (!workers_[slot]) continue;
        if (::waitpid(workers_[slot]->pid(), nullptr, WNOHANG) != 0) return "a process ended by itself";
      }
    }
    board_.over[window % 2] = now_ns();
    last_window_ = now_ns() - begun_at;
    for (std::size_t slot = 0; slot < options_.processes; ++slot) {
      if (!workers_[slot]) start(slot);
    }
    return {};
  }

  bool all_finished(std::uint32_t window) const {
    for (std::size_t slot = 0; slot < options_.processes; ++slot) {
      for (std::size_t thread = 0; thread < options_.threads; ++thread) {
        if (workers_[slot] && board_.finished[slot][thread] != window) return false;
      }
    }
    return true;
  }

  void kill_one(std::uint32_t window) {
    const std::size_t slot = dice_() % options_.processes;
    Death& death = board_.deaths[window % 2][slot];
    death.when.from = now_ns();
    workers_[slot].reset();    // SIGKILL; reaped when it returns
    death.when.to = now_ns();
    death.process = processes_[slot];
    ++kills_;
  }

  void show_progress() const {
    const double done = std::min(1.0, double(checker_.calls()) / double(options_.calls));
    fmt::print(stderr, "\r[{:<40}] {:3.0f} %  {} calls, {} kills, {:.0f} s", std::string(std::size_t(done * 40), '#'),
               done * 100, checker_.calls(), kills_, seconds());
  }

  const Options options_;
  const tests::ScratchSegment segment_;
  Board& board_;
  CheckerProcess checker_;
  std::mt19937 dice_;
  std::array<std::unique_ptr<Child>, kProcessesMax> workers_;
  std::array<reference::Process, kProcessesMax> processes_{};
  reference::Process last_process_ = 0;
  std::uint64_t kills_ = 0;
  reference::Instant last_window_ = 0;    // how long it took
  const steady_clock::time_point begun_ = steady_clock::now();
};

/// "lock ok", "lock renewed", …: how often.
std::vector<std::pair<std::string, std::uint64_t>> answers(const Counts& counts) {
  std::vector<std::pair<std::string, std::uint64_t>> all;
  for (std::size_t status = 0; status < kLockStatuses; ++status) {
    all.emplace_back(reference::text(static_cast<reference::LockAnswer::Status>(status)), counts.locks[status]);
  }
  for (std::size_t status = 0; status < kNameStatuses; ++status) {
    all.emplace_back(fmt::format("name {}", reference::text(static_cast<reference::NamesAnswer::Status>(status))),
                     counts.names[status]);
  }
  return all;
}

void report(const Recording& recording, const Options& options, const std::string& wrong) {
  const Counts& counts = recording.counts();
  const std::uint64_t calls = recording.calls();
  if (options.format == "json") {
    const nlohmann::json all{{"calls", calls},
                             {"answers", answers(counts)},
                             {"cut_short", counts.killed},
                             {"unavailable", counts.unavailable},
                             {"kills", recording.kills()},
                             {"windows", recording.windows()},
                             {"widest", counts.widest},
                             {"seconds", recording.seconds()},
                             {"seed", options.seed},
                             {"violation", wrong}};
    fmt::print("{}\n", all.dump(2));
    return;
  }
  if (options.format == "markdown") {
    fmt::print(
        "| calls | of names | kills | calls cut short | without an answer | processes × threads | violations | seconds "
        "|\n"
        "|---|---|---|---|---|---|---|---|\n| {} | {} | {} | {} | {} | {} × {} | {} | {:.0f} |\n",
        calls, sum(counts.names), recording.kills(), counts.killed, counts.unavailable, options.processes,
        options.threads, wrong.empty() ? 0 : 1, recording.seconds());
  } else {
    fmt::print(
        "{} calls, {} kills, {} calls cut short, {} without an answer, {} windows, at most {} possibilities, {:.1f} "
        "s\n",
        calls, recording.kills(), counts.killed, counts.unavailable, recording.windows(), counts.widest,
        recording.seconds());
    for (const auto& [answer, count] : answers(counts)) fmt::print("  {:>10} {}\n", count, answer);
  }
  if (!wrong.empty()) fmt::print("{}\n", wrong);
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Records calls of many processes and checks that they are linearizable");
  app.add_option("--calls", options.calls, "how many to check at least");
  app.add_option("--processes", options.processes)->check(CLI::Range(std::size_t{1}, kProcessesMax));
  app.add_option("--threads", options.threads, "of each process")->check(CLI::Range(std::size_t{1}, kThreadsMax));
  app.add_option("--kills", options.kills, "in ten windows")->check(CLI::Range(0, 10));
  app.add_option("--seed", options.seed, "of the random calls; the interleaving is another each time");
  app.add_option("--url", options.url, "where to call, with an option");
  app.add_option("--death", options.death_s, "s until a killed process is noticed, at the most");
  app.add_option("--effect", options.effect_s, "s until a call without an answer takes effect, if it ever does");
  app.add_option("--unavailable", options.unavailable, "how many of a hundred calls may be without an answer")
      ->check(CLI::Range(0, 100));
  app.add_option("--window", options.window_calls, "calls of a thread that are checked together")
      ->check(CLI::Range(std::size_t{1}, kLocksMax));
  app.add_option("--age", options.age_ms,
                 "ms after which the names of one family count as released, unless kept alive");
  app.add_option("--format", options.format)->check(CLI::IsMember({"text", "json", "markdown"}));
  const std::map<std::string, Tampering> tamperings{{"token_again", Tampering::token_again},
                                                    {"renewal_new_token", Tampering::renewal_new_token},
                                                    {"refused_though_free", Tampering::refused_though_free},
                                                    {"two_holders", Tampering::two_holders},
                                                    {"wrong_holder", Tampering::wrong_holder},
                                                    {"lost_though_held", Tampering::lost_though_held},
                                                    {"held_though_lost", Tampering::held_though_lost},
                                                    {"unlocked_nothing", Tampering::unlocked_nothing},
                                                    {"name_too_high", Tampering::name_too_high},
                                                    {"name_twice", Tampering::name_twice},
                                                    {"name_lost_though_held", Tampering::name_lost_though_held}};
  app.add_option("--tamper", options.tampering, "changes what was recorded, which must be found")
      ->transform(CLI::CheckedTransformer(tamperings));
  CLI11_PARSE(app, argc, argv);

  fmt::print(stderr, "seed {}\n", options.seed);
  Recording recording(options);
  const std::string wrong = recording.run();
  report(recording, options, wrong);
  if (!wrong.empty()) return 1;
  if (recording.counts().unavailable * 100 <= recording.calls() * options.unavailable) return 0;
  fmt::print(stderr, "too many calls without an answer: little can be said of the others\n");
  return 2;
}

}    // namespace
}    // namespace keyrack::history

int main(int argc, char** argv) { return keyrack::history::run(argc, argv); }
