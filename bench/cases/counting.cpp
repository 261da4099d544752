// What it costs others that all they do is counted, and that somebody looks.
#include "cases/loops.hpp"
#include "harness/own.hpp"
#include "harness/processes.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

namespace keyrack::bench {

namespace {

/// A program that prints to a file.
Child start(std::vector<std::string> words, const std::string& output) {
  return Child([&] {
    const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ::dup2(file, STDOUT_FILENO) < 0) throw std::system_error(errno, std::generic_category(), output);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    throw std::system_error(errno, std::generic_category(), words[0]);
  });
}

double ns_of_call(const char* program, const std::string& call, const ScratchFolder& folder) {
  const Pin pin(0);
  const std::string output = folder.path("ns");
  start({program, "--time", call, std::to_string(scale().many(2'000'000))}, output).join();
  double ns = 0;
  require(static_cast<bool>(std::ifstream(output) >> ns) && ns > 0, "a program does not tell how long a call took");
  return ns;
}

/// The least of a few times, taken in turns.
double counted(benchmark::State& state, const std::string& call) {
  const ScratchFolder folder;
  double with = std::numeric_limits<double>::max(), without = with;
  for (int i = 0; i < (scale().smoke ? 1 : 5); ++i) {
    with = std::min(with, ns_of_call(KEYRACK_COUNTED, call, folder));
    without = std::min(without, ns_of_call(KEYRACK_UNCOUNTED, call, folder));
  }
  state.counters["uncounted_ns"] = without;
  return with * 1e-9;
}

/// Seconds for a pair while `keyrack top` looks ten times a second, and by how much fewer pairs there are then.
double top(benchmark::State& state) {
  const ScratchName name;
  const ScratchFolder folder;
  const auto locks = expect(open_lock_service(name.url()), "opening a segment");
  const KeyTexts keys(scale().many(10'000));
  put_all(*locks, keys);
  const Shared<std::atomic<std::uint64_t>> work;
  const Child worker([&] {
    const Pin pin(0);
    std::uint64_t pairs = 0;
    for (std::size_t key = 0;; key = (key + 1) % keys.size()) {
      (void)expect(locks->lock({.signature = keys[key], .signee = kSignee}, kBound), "lock()");
      (void)expect(locks->unlock({.signature = keys[key], .signee = kSignee}), "unlock()");
      work->store(++pairs, std::memory_order_relaxed);
    }
  });
  await("the worker", [&] { return work->load() >= keys.size(); });

  const auto ns_per_pair = [&] {
    const std::int64_t begin = now_ns();
    const std::uint64_t before = work->load();
    ::usleep(static_cast<useconds_t>(scale().seconds(0.5) * 1e6));
    await("the worker", [&] { return work->load() > before; });    // a busy machine may not let it run meanwhile
    return static_cast<double>(now_ns() - begin) / static_cast<double>(work->load() - before);
  };
  const auto ns_per_pair_watched = [&] {
    const std::string output = folder.path("pictures");
    const Pin pin(1);    // top's, too
    const Child watcher = start(
        {KEYRACK_COMMAND, "--url", name.url("create=false"), "top", "--batch", "1000", "--interval", "100ms"}, output);
    const auto printed = [&] { return std::filesystem::exists(output) ? std::filesystem::file_size(output) : 0; };
    await("the first picture", [&] { return printed() > 0; });
    const auto first = printed();
    const double ns = ns_per_pair();
    await("the next picture", [&] { return printed() > first; });
    watcher.require_alive();
    std::filesystem::remove(output);
    return ns;
  };
  std::vector<double> falls;
  double watched = 0;
  for (int i = 0; i < (scale().smoke ? 1 : 3); ++i) {
    const double before = ns_per_pair();
    watched = ns_per_pair_watched();
    falls.push_back(100 * (1 - (before + ns_per_pair()) / 2 / watched));
  }
  worker.require_alive();
  std::sort(falls.begin(), falls.end());
  state.counters["others_fall_percent"] = falls[falls.size() / 2];
  return watched * 1e-9;
}

}    // namespace

void add_counting_cases() {
  for (const std::string call : {"keyed", "mutex", "refused", "names"}) {
    add_round("counting/" + call, [call](benchmark::State& state) { return counted(state, call); });
  }
  add_round("top", top);
}

}    // namespace keyrack::bench
