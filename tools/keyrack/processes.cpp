#include "processes.hpp"

#include "os/process.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

namespace keyrack::command {
namespace {

/// The PID namespace whose processes /proc shows; 0 if that cannot be told, as where it is mounted from another one.
std::uint64_t namespace_of_proc() {
  std::array<char, 32> self{};
  if (::readlink("/proc/self", self.data(), self.size() - 1) < 0) return 0;
  return fmt::to_string(::getpid()) == self.data() ? os::identify().pid_namespace : 0;
}

std::string command_line_of(std::int32_t pid) {
  std::array<char, 4096> text{};
  std::ifstream file(fmt::format("/proc/{}/cmdline", pid), std::ios::binary);
  file.read(text.data(), text.size());
  std::string words(text.data(), static_cast<std::size_t>(file.gcount()));
  words.resize(words.find_last_not_of('\0') + 1);
  std::replace(words.begin(), words.end(), '\0', ' ');
  return words;
}

}    // namespace

Processes::Processes(const Snapshot& snapshot) {
  const std::uint64_t shown = namespace_of_proc();
  for (const SessionPicture& session : snapshot.sessions) {
    // Of the living only: the pid of a dead one may be another process's by now.
    const bool is_in_proc = session.alive && shown != 0 && session.pid_namespace == shown;
    by_slot_[session.slot] = {session.pid, is_in_proc, session.command};
  }
}

std::string Processes::command_of(std::optional<std::uint32_t> session) const {
  const auto process = session ? by_slot_.find(*session) : by_slot_.end();
  if (process == by_slot_.end()) return "";
  std::string words = process->second.is_in_proc ? command_line_of(process->second.pid) : "";
  return words.empty() ? process->second.command : words;
}

}    // namespace keyrack::command
