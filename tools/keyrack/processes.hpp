// What runs in the processes that a picture shows.
#pragma once

#include <keyrack/inspect.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

namespace keyrack::command {

class Processes {
 public:
  explicit Processes(const Snapshot&);

  /// The command line of a session's process; its short command where /proc does not show that process; else empty.
  std::string command_of(std::optional<std::uint32_t> session) const;

 private:
  struct Process {
    std::int32_t pid = 0;
    bool is_in_proc = false;
    std::string command;
  };
  std::unordered_map<std::uint32_t, Process> by_slot_;
};

}    // namespace keyrack::command
