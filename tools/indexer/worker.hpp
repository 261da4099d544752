// One worker: claims a file, counts it, adds it to the shared results, until none is left.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace indexer {

/// What the parent leaves in the scratch folder for the workers.
inline std::filesystem::path list_path(const std::filesystem::path& scratch) { return scratch / "files"; }
inline std::filesystem::path results_path(const std::filesystem::path& scratch) { return scratch / "results"; }

/// The keys of the locks: one per file, bound to whoever works on it, and one for the shared total.
inline constexpr char kTotalKey[] = "total";
std::string file_key(const std::string& path);

/// Which files are read slowly, so that there is something to see.
struct Pace {
  std::size_t every = 0;    // 0: none
  std::chrono::milliseconds time{};

  bool is_slow(std::size_t index) const { return every != 0 && index % every == 0; }
};

struct WorkerOptions {
  std::string segment;
  std::filesystem::path scratch;
  Pace pace;
  int parent = 0;                  // its process: a worker does not outlive it
  bool break_exclusion = false;    // leave the files' locks out, which the proof at the end must notice
};

// What a worker tells its parent on standard output, a line each: the word, a blank, and for people the rest.
inline constexpr char kNote[] = "note";
inline constexpr char kTook[] = "took";    // a file over from a worker that died
inline constexpr char kDone[] = "done";    // nothing is left; followed by the worker's process id

/// Returns when nothing is left and standard input is closed. Throws std::exception for whatever keeps it from working.
void work(const WorkerOptions&);

/// For people, on one line of bounded length.
std::string display(const std::string& path);

}    // namespace indexer
