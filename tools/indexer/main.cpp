// keyrack-indexer: several processes count the words of every text file under a folder, some are killed, and nothing
// is lost or counted twice. An example of keyrack at work:
//
//   worker.cpp    claims each file with a lock that is bound to the process, holds a name, adds to a shared total
//   results.cpp   the shared total: written under a mutex, with fencing tokens, and whole whoever is killed when
//   parent.cpp    starts, kills and replaces the workers, and proves the result
#include "parent.hpp"
#include "worker.hpp"

#include <CLI/CLI.hpp>

#include <exception>
#include <iostream>

namespace {

enum ExitStatus { kProved = 0, kNotProved = 1, kUsage = 2, kFailed = 3, kSignalled = 128 };

}    // namespace

int main(int argc, char** argv) {
  indexer::ParentOptions parent;
  indexer::WorkerOptions worker;
  std::size_t slow_every = 15;
  std::int64_t slow_ms = 200;
  unsigned seed = 0;

  CLI::App app("Counts the words of all text files under a folder, with several processes of which some are killed.",
               "keyrack-indexer");
  app.add_option("FOLDER", parent.folder, "what to index")->check(CLI::ExistingDirectory)->capture_default_str();
  app.add_option("--workers", parent.workers, "processes")->check(CLI::Range(1, 32))->capture_default_str();
  app.add_option("--kills", parent.kills, "how many of them are killed and replaced")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--limit", parent.limit, "files at most")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  app.add_option("--slow-every", slow_every, "one file in so many is read slowly; 0: none")->capture_default_str();
  app.add_option("--slow-ms", slow_ms, "how long that takes")->check(CLI::Range(0, 60'000))->capture_default_str();
  const auto* seed_option = app.add_option("--seed", seed, "of the kills; else another one each time");
  app.add_option("--segment", parent.segment, "of shared memory, removed in the end; else one of its own");
  app.add_option("--keyrack", parent.keyrack, "the keyrack command, for a dump in the end")->check(CLI::ExistingFile);
  // For the tests, and for the parent to start its workers with.
  app.add_flag("--break-exclusion", parent.break_exclusion)->group("");
  const auto* worker_option = app.add_option("--worker", worker.parent)->group("");
  app.add_option("--scratch", worker.scratch)->group("")->needs(app.get_option("--worker"));

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kProved : kUsage;
  }
  parent.pace = {slow_every, std::chrono::milliseconds(slow_ms)};
  if (*seed_option) parent.seed = seed;

  try {
    if (*worker_option) {
      worker.segment = parent.segment;
      worker.pace = parent.pace;
      worker.break_exclusion = parent.break_exclusion;
      indexer::work(worker);
      return kProved;
    }
    return indexer::run(parent) ? kProved : kNotProved;
  } catch (const indexer::Interrupted& e) {
    std::cerr << "keyrack-indexer: interrupted; everything has been cleaned up\n";
    return kSignalled + e.signal;
  } catch (const std::exception& e) {
    std::cerr << "keyrack-indexer: " << e.what() << '\n';
    return kFailed;
  }
}
