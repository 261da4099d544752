#include "os/process.hpp"

#include "os/checked.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <new>
#include <system_error>

namespace keyrack::os {

namespace {

/// Of a short file; empty where there is none. Throws std::system_error: what cannot be read now must not be taken for
/// something that this kernel does not tell.
std::string text_of(const char* path) {
  const Descriptor file(uninterrupted([&] { return ::open(path, O_RDONLY | O_CLOEXEC); }));
  if (!file && errno == ENOENT) return {};
  char text[1024];
  const ssize_t got = file ? uninterrupted([&] { return ::read(file.get(), text, sizeof text); }) : -1;
  if (got < 0) throw std::system_error(errno, std::generic_category(), std::string("reading ") + path);
  return {text, static_cast<std::size_t>(got)};
}

std::uint64_t inode_of(const char* path) {
  struct stat status {};
  if (::stat(path, &status) == 0) return status.st_ino;
  if (errno == ENOENT) return 0;
  throw std::system_error(errno, std::generic_category(), std::string("looking at ") + path);
}

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

}    // namespace

std::atomic<void*>* new_fork_cleared_pointer() {
  void* memory = ::mmap(nullptr, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  if (::madvise(memory, page_bytes(), MADV_WIPEONFORK) != 0) {
    const int error = errno;
    ::munmap(memory, page_bytes());
    throw std::system_error(error, std::generic_category(), "telling the kernel to wipe a page on fork");
  }
  return new (memory) std::atomic<void*>(nullptr);
}

Identity identify() {
  Identity self;
  self.pid = ::getpid();
  self.uid = ::geteuid();
  try {    // for people only
    self.pid_namespace = inode_of("/proc/self/ns/pid");
    self.command = text_of("/proc/self/comm");
    std::erase(self.command, '\n');
  } catch (const std::system_error&) {    // NOLINT(bugprone-empty-catch): then they are not told
  }
  return self;
}

std::array<std::uint8_t, 16> boot_id() {
  std::array<std::uint8_t, 16> id{};
  std::string text = text_of("/proc/sys/kernel/random/boot_id");
  std::erase_if(text, [](char c) { return c == '-' || c == '\n'; });
  if (text.size() != 32) return id;
  for (std::size_t i = 0; i < id.size(); ++i) {
    unsigned byte = 0;
    if (std::sscanf(text.c_str() + 2 * i, "%2x", &byte) != 1) return {};
    id[i] = static_cast<std::uint8_t>(byte);
  }
  return id;
}

std::optional<std::int64_t> clock_offset_ns() {
  // The kernel tells the offsets that children shall have.
  if (inode_of("/proc/thread-self/ns/time") != inode_of("/proc/thread-self/ns/time_for_children")) return {};
  const std::string offsets = text_of("/proc/self/timens_offsets");
  std::int64_t seconds = 0, ns = 0;
  const auto line = offsets.find("monotonic");
  if (line != offsets.npos &&
      std::sscanf(offsets.c_str() + line, "monotonic %" SCNd64 " %" SCNd64, &seconds, &ns) == 2) {
    return seconds * 1'000'000'000 + ns;
  }
  return 0;    // this kernel shifts no clocks, or does not tell
}

std::atomic<void*>& fork_cleared_pointer() {
  static std::atomic<void*>* const page = new_fork_cleared_pointer();
  return *page;
}

}    // namespace keyrack::os
