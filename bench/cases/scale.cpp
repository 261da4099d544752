// A table of a million records: pairs at random, attaching, a dump; and what a record takes.
#include "cases/loops.hpp"
#include "harness/own.hpp"
#include "harness/processes.hpp"

#include <unistd.h>

#include <algorithm>
#include <vector>

namespace keyrack::bench {

namespace {

constexpr std::size_t kBusyKeys = 10'000;    // what another process works with meanwhile

std::size_t million() { return scale().many(1'000'000); }

/// All keys are in the table, and nobody holds them; made once.
class Big {
 public:
  static Big& table() {
    static Big big;
    return big;
  }

  const std::string& name() const { return name_.name(); }
  std::string url() const { return name_.url("create=false"); }
  LockService& locks() { return *locks_; }
  const KeyTexts& keys() const { return keys_; }

  /// Holds all keys but those that another process works with.
  void hold() {
    if (held_) return;
    for (std::size_t key = busy_keys(); key < keys_.size(); ++key) {
      (void)expect(locks_->lock({.signature = keys_[key], .signee = kSignee}, kBound), "lock()");
    }
    held_ = true;
  }
  static std::size_t busy_keys() { return std::min(kBusyKeys, million() / 2); }

 private:
  Big() : keys_(million()), locks_(expect(open_lock_service(name_.url(slots_for(million()))), "opening a segment")) {
    put_all(*locks_, keys_);
  }

  ScratchName name_;
  KeyTexts keys_;
  std::unique_ptr<LockService> locks_;
  bool held_ = false;
};

void random_keys(benchmark::State& state, Pace pace) {
  Big& big = Big::table();
  walk(state, big.locks(), big.keys(), pace);
}

enum class Farewell { closes, dies };

/// By a process that was not attached, after one that closed the segment, or one that died.
double attach(benchmark::State&, Farewell farewell) {
  const std::string url = Big::table().url();
  Shared<std::int64_t> took;
  std::vector<std::int64_t> samples;
  for (int i = 0; i < (scale().smoke ? 2 : 7); ++i) {
    Child child([&] {
      const std::int64_t begin = now_ns();
      auto locks = expect(open_lock_service(url), "opening the segment");
      *took = now_ns() - begin;
      if (farewell == Farewell::dies) ::_exit(0);
    });
    child.join();
    if (farewell == Farewell::closes || i > 0) samples.push_back(*took);    // the first came after nobody's death
  }
  std::sort(samples.begin(), samples.end());
  return static_cast<double>(samples[samples.size() / 2]) * 1e-9;
}

/// Seconds for a picture of all records, and by how much another process at work in the table is slower meanwhile.
double dump(benchmark::State& state) {
  Big& big = Big::table();
  big.hold();
  const Shared<std::atomic<std::uint64_t>> work;
  const Child worker([&] {
    const Pin pin(0);
    const KeyTexts& keys = big.keys();
    std::uint64_t pairs = 0;
    for (std::size_t key = 0;; key = (key + 1) % Big::busy_keys()) {
      (void)expect(big.locks().lock({.signature = keys[key], .signee = kSignee}, kBound), "lock()");
      (void)expect(big.locks().unlock({.signature = keys[key], .signee = kSignee}), "unlock()");
      work->store(++pairs, std::memory_order_relaxed);
    }
  });
  await("the worker", [&] { return work->load() >= Big::busy_keys(); });
  const Pin pin(1);
  const auto inspector = expect(open_inspector(big.name()), "looking at the segment");
  const auto rate_over = [&](auto&& meanwhile) {
    const std::int64_t begin = now_ns();
    const std::uint64_t before = work->load();
    meanwhile();
    return static_cast<double>(work->load() - before) / static_cast<double>(now_ns() - begin);
  };
  double took = 0;
  std::vector<double> falls;
  const auto disturbed = [&] {
    const std::int64_t begin = now_ns();
    const Snapshot picture = expect(inspector->snapshot(true), "snapshot()");
    took = static_cast<double>(now_ns() - begin) * 1e-9;
    require(picture.locks.size() == million(), "not every record is in the picture");
  };
  const auto alone = [&] {
    const std::uint64_t done = work->load();
    ::usleep(static_cast<useconds_t>(took * 1e6));
    await("the worker", [&] { return work->load() > done; });    // a busy machine may not let it run meanwhile
  };
  disturbed();
  for (int i = 0; i < (scale().smoke ? 1 : 5); ++i) {
    const double before = rate_over(alone);
    const double meanwhile = rate_over(disturbed);
    const double after = rate_over(alone);
    falls.push_back(100 * (1 - meanwhile / ((before + after) / 2)));
  }
  worker.require_alive();
  std::sort(falls.begin(), falls.end());
  state.counters["others_fall_percent"] = falls[falls.size() / 2];
  return took;
}

double memory(benchmark::State& state) {
  const ScratchName name;
  const auto locks = expect(open_lock_service(name.url()), "opening a segment");
  const auto inspector = expect(open_inspector(name.name()), "looking at the segment");
  const SegmentPicture segment = expect(inspector->snapshot(), "snapshot()").segment;
  state.counters["bytes_per_record"] = static_cast<double>(segment.bytes) / static_cast<double>(segment.slots);
  return 0;
}

}    // namespace

void add_scale_cases() {
  add_round("memory", memory);
  for (const auto& [pace, suffix] : {std::pair(Pace::at_once, ""), std::pair(Pace::one_by_one, ", one by one")}) {
    add(std::string("million/robust mutexes") + suffix,
        [pace = pace](benchmark::State& state) { walk_mutexes(state, million(), pace); });
    add(std::string("million/keyed") + suffix, [pace = pace](benchmark::State& state) { random_keys(state, pace); });
  }
  add_round("attach", [](benchmark::State& state) { return attach(state, Farewell::closes); });
  add_round("attach, after a death", [](benchmark::State& state) { return attach(state, Farewell::dies); });
  add_round("dump", dump);
}

}    // namespace keyrack::bench
