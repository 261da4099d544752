// The parent: lists the files, starts the workers, kills some of them in the middle of a file, and proves in the end
// that nothing was lost or counted twice.
#pragma once

#include "worker.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

namespace indexer {

struct ParentOptions {
  std::filesystem::path folder = "/usr/share/doc";
  std::size_t workers = 4, kills = 8, limit = 4000;
  Pace pace;
  std::optional<unsigned> seed;    // of the kills; unset: another one each time
  std::string segment;             // empty: one of its own
  std::string keyrack;             // the command, for the dump; empty: none
  bool break_exclusion = false;
};

/// SIGINT, SIGTERM or SIGHUP came; everything has been cleaned up.
struct Interrupted : std::runtime_error {
  explicit Interrupted(int number) : std::runtime_error("interrupted"), signal(number) {}
  int signal;
};

/// True when the proof holds. Throws std::exception for whatever kept it from running to the end.
bool run(const ParentOptions&);

}    // namespace indexer
