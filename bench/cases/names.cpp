// Names: lent out and given back, with few and with many of the family in others' hands.
#include "cases/loops.hpp"
#include "harness/processes.hpp"
#include "harness/scratch.hpp"

#include <filesystem>
#include <vector>

namespace keyrack::bench {

namespace {

constexpr std::string_view kFamily = "workers";

void fill(NameManager& names, std::size_t held) {
  for (std::size_t i = 0; i < held; ++i) (void)expect(names.acquire(kFamily), "acquire()");
}

std::ptrdiff_t threads() {
  const std::filesystem::directory_iterator begin("/proc/self/task");
  return std::distance(begin, std::filesystem::directory_iterator());
}

void hold_release(benchmark::State& state) {
  const auto names = scratch_names();
  fill(*names, 10);
  std::vector<HeldName> others;    // kept alive beside ours
  for (int i = 0; i < 100; ++i) others.push_back(expect(names->hold(kFamily), "hold()"));
  const std::ptrdiff_t before = threads();
  {
    std::vector<HeldName> more;
    for (int i = 0; i < 100; ++i) more.push_back(expect(names->hold(kFamily), "hold()"));
    state.counters["threads_per_hold"] = static_cast<double>(threads() - before) / 100;
  }
  const Pin pin(0);
  for (auto _ : state) {
    auto name = names->hold(kFamily);
    require(name.has_value() && name->release().has_value(), "hold() or release() failed");
  }
}

}    // namespace

void acquire_release(benchmark::State& state, std::size_t held, const std::string& query) {
  const auto names = scratch_names(query);
  fill(*names, held);
  const Pin pin(0);
  for (auto _ : state) {
    const auto name = names->acquire(kFamily);
    require(name.has_value(), "acquire() failed");
    require(names->release(kFamily, *name).has_value(), "release() failed");
  }
}

void add_name_cases() {
  add("names/10 held", [](benchmark::State& state) { acquire_release(state, 10, ""); });
  add("names/10k held", [](benchmark::State& state) { acquire_release(state, 10'000, ""); });
  add("names/10 held, auto release",
      [](benchmark::State& state) { acquire_release(state, 10, "auto_release_after=1h"); });
  add("names/hold", hold_release);
}

}    // namespace keyrack::bench
