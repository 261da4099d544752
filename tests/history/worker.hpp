// One of the processes whose calls are recorded.
#pragma once

#include "record.hpp"

#include <string>

namespace keyrack::history {

struct Worker {
  std::size_t slot = 0;    // on the board
  std::size_t threads = 1;
  reference::Process process = 0;    // never the same twice
  std::uint32_t seed = 0;
  std::uint32_t first_window = 1;
  std::size_t window_calls = kLocksMax;    // of each thread, about
  std::uint32_t age_ms = 2;                // after which names count as released, in the family where they do
};

/// Calls and records until the board says stop.
void work(Board& board, const std::string& url, const Worker& worker);

}    // namespace keyrack::history
