#include "sweeps.hpp"

#include "watchdog.hpp"

#include <keyrack/segment.hpp>

#include <algorithm>
#include <csignal>
#include <cstring>

namespace keyrack::crash {

namespace {

// Stepping is slow: on a busy machine the patience of a call may run out, and one that sleeps looks again and again.
constexpr int kTries = 5;

Ground ground_of(Scene& scene) {
  return {scene.segment(),         scene.scenario().options,
          scene.board(),           scene.scenario().creates ? nullptr : scene.survivor(),
          scene.scenario().helper, [&scene] { scene.kill_helper(); }};
}

std::string place_of(const Scenario& scenario, Point point) {
  return scenario.name + " @" + std::to_string(point.index) + (point.asleep ? " asleep" : "") + ": ";
}

Violations with_place(const std::string& place, Violations violations) {
  for (std::string& text : violations) text.insert(0, place);
  return violations;
}

/// Continued, the victim finishes its call.
void go_on(Scene& scene, Violations& found) {
  const Scenario& scenario = scene.scenario();
  const Stage& stage = scene.board().victim;
  scene.victim().process().signal(SIGCONT);
  if (!scenario.call) return;
  const std::string came_to = stage.await(Stage::done, kPatience) ? stage.outcome.get() : "nothing";
  // It may have been held up for longer than opening has patience with an unfinished object.
  if (scenario.unfinished && came_to == "backend_unavailable") return;
  for (const char* bad : {"nothing", "corrupt_segment", "backend_unavailable", "threw"}) {
    if (came_to.starts_with(bad)) found.push_back("the stopped one went on and came to " + came_to);
  }
}

/// The segment of a wreck, with a rescuer that stands before its call.
class Rescue {
 public:
  Rescue(Cast& cast, const Wreck& wreck, std::size_t rescue)
      : segment_(cast.next_segment()), options_(scenarios()[wreck.scenario].options), board_(cast.board()) {
    board_.reset();
    for (const auto& [key, token] : wreck.tokens) board_.notes.add(key, token);
    mapped_ = map_segment(segment_, options_);
    const bool opens = rescues()[rescue].opens;
    if (opens) restore(wreck, false);
    cast.enter(Role::rescuer, rescue, segment_, options_);
    rescuer_.emplace(board_, rescues()[rescue]);
    if (!opens) restore(wreck, true);
  }
  ~Rescue() {
    rescuer_.reset();
    (void)remove_segment(segment_);
  }
  Rescue(const Rescue&) = delete;
  Rescue& operator=(const Rescue&) = delete;

  Performance& rescuer() { return *rescuer_; }
  std::span<std::byte> bytes() const { return bytes_of(*mapped_); }
  Ground ground() {
    return {segment_, options_, board_, nullptr, Helper::none, [] {}};
  }

 private:
  /// The survivor of the wreck has the first session: the rescuer takes his part, or he has left.
  void restore(const Wreck& wreck, bool in_place_of_survivor) {
    const table::Table& table = mapped_->table();
    const std::uint64_t life = table.life(0).word.load(), node = table.life(0).node.load();
    std::memcpy(bytes().data(), wreck.bytes.data(), wreck.bytes.size());
    if (in_place_of_survivor) {
      table.life(0).word.store(life);
      table.life(0).node.store(node);
    } else {
      table.life(0).word.store(table::Life{table.life(0).word.load()}.cleared().bits);
    }
  }

  std::string segment_, options_;
  Board& board_;
  std::shared_ptr<const shm::Segment> mapped_;
  std::optional<Performance> rescuer_;
};

}    // namespace

Path trace(Cast& cast, std::size_t number, bool watched) {
  const Scenario& scenario = scenarios()[number];
  std::optional<Path> shortest;
  std::string came_to;
  for (int tries = 0; tries < kTries; ++tries) {
    Scene scene(cast, number);
    Path path = scene.victim().trace(watched ? scene.bytes() : std::span<std::byte>());
    came_to = path.outcome;
    if (scenario.entry == Entry::call && !scenario.expected.empty() && came_to != scenario.expected) continue;
    if (!shortest || path.addresses.size() < shortest->addresses.size()) shortest = std::move(path);
    if (!scenario.sleeps) break;
  }
  if (!shortest) give_up(scenario.name + " comes to " + came_to + ", not " + scenario.expected);
  return std::move(*shortest);
}

Verdict die_at(Cast& cast, std::size_t scenario, const Path& path, Point point) {
  Scene scene(cast, scenario);
  const bool reached = scene.victim().run_to(path, point);
  scene.victim().tracee().kill();
  return {with_place(place_of(scene.scenario(), point), audit(ground_of(scene))), !reached};
}

Verdict stop_at(Cast& cast, std::size_t scenario, const Path& path, Point point, Then then) {
  Scene scene(cast, scenario);
  const bool reached = scene.victim().run_to(path, point);
  const Process& victim = scene.victim().process();
  scene.victim().tracee().leave_stopped();
  Violations found = probe(ground_of(scene), scene.scenario(), victim.fd());
  if (then == Then::continues) go_on(scene, found);
  victim.kill();
  const Violations after = audit(ground_of(scene));
  found.insert(found.end(), after.begin(), after.end());
  return {with_place(place_of(scene.scenario(), point), std::move(found)), !reached};
}

Wreck wreck_of(Cast& cast, std::size_t scenario, const Path& path, Point point) {
  Scene scene(cast, scenario);
  (void)scene.victim().run_to(path, point);
  scene.victim().tracee().kill();
  scene.kill_helper();
  const auto bytes = scene.bytes();
  return {scenario, {bytes.begin(), bytes.end()}, scene.board().notes.highest()};
}

Path trace_rescue(Cast& cast, const Wreck& wreck, std::size_t rescue) {
  Rescue run(cast, wreck, rescue);
  return run.rescuer().trace(run.bytes());
}

Verdict rescuer_dies_at(Cast& cast, const Wreck& wreck, std::size_t rescue, const Path& path, Point point) {
  Rescue run(cast, wreck, rescue);
  const bool reached = run.rescuer().run_to(path, point);
  run.rescuer().tracee().kill();
  return {with_place(place_of(rescues()[rescue], point), audit(run.ground())), !reached};
}

}    // namespace keyrack::crash
