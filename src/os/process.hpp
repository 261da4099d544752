// Who this process is, and whether it still is the process that it was.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

namespace keyrack::os {

struct Identity {
  std::int32_t pid = 0;    // as the process sees itself
  std::uint32_t uid = 0;
  std::uint64_t pid_namespace = 0;    // inode of the namespace, 0 if unknown
  std::string command;
};

Identity identify();

/// Of this boot of the kernel; all zero where the kernel does not tell. Throws std::system_error.
std::array<std::uint8_t, 16> boot_id();

/// How far this process's monotonic clock is ahead of the host's: a time namespace may shift it. Empty if that cannot
/// be told, because the process has left its time namespace and its children shall have another. Throws
/// std::system_error.
std::optional<std::int64_t> clock_offset_ns();

/// A pointer that the kernel nulls in every forked child, and that is this process's own otherwise; never freed.
/// Throws std::bad_alloc or std::system_error if its page cannot be had.
std::atomic<void*>* new_fork_cleared_pointer();

/// The keeper's.
std::atomic<void*>& fork_cleared_pointer();

}    // namespace keyrack::os
