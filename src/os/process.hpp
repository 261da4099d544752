// Who this process is, and whether it still is the process that it was.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace keyrack::os {

struct Identity {
  std::int32_t pid = 0;    // as the process sees itself
  std::uint32_t uid = 0;
  std::uint64_t pid_namespace = 0;    // inode of the namespace, 0 if unknown
  std::string command;
};

Identity identify();

/// Of this boot of the kernel; all zero where the kernel does not tell.
std::array<std::uint8_t, 16> boot_id();

/// A pointer that the kernel nulls in every forked child, and that is this process's own otherwise.
/// Throws std::bad_alloc if its page cannot be had.
std::atomic<void*>& fork_cleared_pointer();

}    // namespace keyrack::os
