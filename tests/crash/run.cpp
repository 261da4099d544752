#include "run.hpp"

#include "table/names.hpp"
#include "table/sessions.hpp"
#include "table/waiting.hpp"

#include <keyrack/segment.hpp>

#include <sys/auxv.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <thread>

extern "C" {
extern const char __executable_start, etext;    // where this program's own code begins and ends
}

namespace keyrack::crash {

namespace {

constexpr std::size_t kMostInstructions = 3'000'000;

std::uintptr_t address_of(Entry entry) {
  switch (entry) {
    case Entry::call:
      return reinterpret_cast<std::uintptr_t>(&perform);
    case Entry::keep_alive:
      return reinterpret_cast<std::uintptr_t>(&table::keep_alive_grant);
    case Entry::recovery:
      break;
  }
  return reinterpret_cast<std::uintptr_t>(&table::recover_the_dead);
}

/// The keeper is the only other thread.
pid_t keeper_of(pid_t process) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
    const pid_t thread = std::stoi(task.path().filename());
    if (thread != process) return thread;
  }
  give_up("the victim has no keeper");
}

pid_t thread_of(const Scenario& scenario, pid_t process) {
  return scenario.entry == Entry::keep_alive ? keeper_of(process) : process;
}

bool is_own_code(std::uintptr_t address) {
  return address >= reinterpret_cast<std::uintptr_t>(&__executable_start) &&
         address < reinterpret_cast<std::uintptr_t>(&etext);
}

/// The kernel's code for reading clocks, which begins again when the clock has ticked meanwhile: on a loaded machine a
/// process that is stepped through it never comes out. It writes nothing that others see.
bool is_clock_code(std::uintptr_t address) {
  static const std::uintptr_t begin = ::getauxval(AT_SYSINFO_EHDR);
  constexpr std::uintptr_t kBytes = 0x2000;
  return begin != 0 && address - begin < kBytes;
}

pid_t await_ready(const Stage& stage) {
  if (!stage.await(Stage::ready)) give_up("an actor does not get ready: " + stage.outcome.get());
  return stage.pid.load();
}

}    // namespace

std::uintptr_t file_address(std::uintptr_t address) {
  return is_own_code(address) ? address - reinterpret_cast<std::uintptr_t>(&__executable_start) : address;
}

void give_up(const std::string& what) { throw std::runtime_error("the harness: " + what); }

std::span<std::byte> bytes_of(const shm::Segment& segment) {
  return {reinterpret_cast<std::byte*>(&segment.table().header()), segment.table().layout().bytes};
}

void Path::add(std::uintptr_t address) {
  const bool repeats = !addresses.empty() && addresses.back() == address;
  std::uint32_t& count = count_[address];
  if (!repeats) ++count;
  addresses.push_back(address);
  visits.push_back(count - 1);
}

std::vector<Point> Path::points() const {
  std::vector<Point> all;
  for (std::uint32_t i = 0; i <= addresses.size(); ++i) all.push_back({i, false});
  for (const std::uint32_t i : asleep) all.push_back({i, true});
  return all;
}

Performance::Performance(Board& board, const Scenario& scenario)
    : board_(board),
      scenario_(scenario),
      process_(await_ready(board.victim)),
      tracee_(process_, thread_of(scenario, process_.pid())),
      entry_(address_of(scenario.entry)) {}

void Performance::enter_call() {
  board_.victim.reach(Stage::go);
  if (!tracee_.run_to(entry_)) give_up("the victim has ended before its call: " + board_.victim.outcome.get());
  end_ = tracee_.return_address();
}

Path Performance::trace(std::span<const std::byte> watched) {
  Path path;
  std::vector<std::byte> seen(watched.begin(), watched.end());
  bool slept = false;
  enter_call();
  auto act = tracee_.when_asleep();
  if (act) {
    tracee_.when_asleep([&] {
      slept = true;
      act();
    });
  }
  const bool passes_libraries = scenario_.opens && scenario_.entry == Entry::call;
  while (tracee_.at() != end_) {
    if ((passes_libraries && !is_own_code(tracee_.at())) || is_clock_code(tracee_.at())) {
      pass_library(path);
      continue;
    }
    const auto index = static_cast<std::uint32_t>(path.addresses.size());
    path.add(tracee_.at());
    if (path.addresses.size() > kMostInstructions) give_up(scenario_.name + " does not come to an end");
    slept = false;
    if (!tracee_.step()) give_up("the victim has ended in its call");
    if (slept) path.asleep.push_back(index);
    if (std::memcmp(seen.data(), watched.data(), seen.size()) != 0) {
      std::copy(watched.begin(), watched.end(), seen.begin());
      path.changed.push_back(index);
    }
  }
  if (act) tracee_.when_asleep(act);
  if (scenario_.entry == Entry::call) {
    // To the last instruction of the process's part, where it says what the call came to.
    path.outcome = board_.victim.outcome.get();
  }
  return path;
}

/// A function of another library has just been called: to where it returns.
void Performance::pass_library(Path& path) {
  constexpr std::uintptr_t kSystemCallBytes = 2;
  const std::uintptr_t back = tracee_.return_address();
  for (bool in_call = false;;) {
    if (!tracee_.run_to_or_system_call(back)) give_up("the victim has ended in its call");
    const std::uintptr_t here = tracee_.at();
    if (here == back) return;
    path.add(std::exchange(in_call, !in_call) ? here : here - kSystemCallBytes);
  }
}

bool Performance::run_to(const Path& path, Point point) {
  enter_call();
  if (point.index == path.addresses.size()) {
    (void)tracee_.run_to(end_);
    return true;
  }
  std::uint32_t first = point.index;    // of a repeated instruction, which stops once at a breakpoint
  while (first > 0 && path.addresses[first - 1] == path.addresses[first]) --first;
  const std::uintptr_t address = path.addresses[first];
  if (first > 0) {
    for (std::uint32_t left = path.visits[first] + (address == entry_ ? 0 : 1); left > 0; --left) {
      if (!tracee_.run_to(address, end_)) give_up("the victim has ended in its call");
      if (tracee_.at() == end_) return false;
    }
  }
  for (std::uint32_t i = first; i < point.index; ++i) {
    if (tracee_.at() == end_) return false;
    if (!tracee_.step()) give_up("the victim has ended in its call");
  }
  if (point.asleep) tracee_.run_asleep();
  return true;
}

Scene::Scene(Cast& cast, std::size_t scenario)
    : scenario_(scenarios()[scenario]), board_(cast.board()), segment_(cast.next_segment()) {
  board_.reset();
  survivor_ = std::make_unique<Actor>(segment_, scenario_.options, board_.notes);
  if (!scenario_.creates) {
    survivor_->open_locks();
    mapped_ = map_segment(segment_);
  }
  if (scenario_.survivor) scenario_.survivor(*survivor_);
  if (scenario_.helper != Helper::none && scenario_.helper != Helper::waits) start_helper(cast, scenario);
  cast.enter(Role::victim, scenario, segment_, scenario_.options);
  victim_.emplace(board_, scenario_);
  if (scenario_.helper == Helper::waits) start_helper(cast, scenario);    // the victim may hold what it waits for
  if (scenario_.forks) helper_.emplace(board_.helper.pid.load());
  if (scenario_.sleeps) {
    victim_->tracee().when_asleep([this, done = false]() mutable {
      if (std::exchange(done, true)) return;
      if (scenario_.meanwhile) scenario_.meanwhile(*survivor_);
      if (scenario_.helper == Helper::dies_later) kill_helper();
    });
  }
}

Scene::~Scene() {
  victim_.reset();
  helper_.reset();
  survivor_.reset();
  (void)remove_segment(segment_);
}

void Scene::start_helper(Cast& cast, std::size_t scenario) {
  cast.enter(Role::helper, scenario, segment_, scenario_.options);
  helper_.emplace(await_ready(board_.helper));
  if (scenario_.helper == Helper::dies) helper_.reset();
  if (scenario_.helper != Helper::waits) return;
  const table::Table table = mapped_->table();
  const auto waits = [&] {
    for (std::uint32_t place = 0; place < table.waiters_used(); ++place) {
      if (table::see_waiter(table, place)) return true;
    }
    return false;
  };
  while (!waits()) std::this_thread::yield();
}

std::span<std::byte> Scene::bytes() const { return mapped_ ? bytes_of(*mapped_) : std::span<std::byte>(); }

}    // namespace keyrack::crash
