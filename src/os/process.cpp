#include "os/process.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <new>

namespace keyrack::os {

namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

std::atomic<void*>* new_fork_cleared_page() {
  void* memory = ::mmap(nullptr, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  if (::madvise(memory, page_bytes(), MADV_WIPEONFORK) != 0) {
    ::munmap(memory, page_bytes());
    throw std::bad_alloc();
  }
  return new (memory) std::atomic<void*>(nullptr);
}

}    // namespace

Identity identify() {
  Identity self;
  self.pid = ::getpid();
  self.uid = ::geteuid();
  struct stat status {};
  if (::stat("/proc/self/ns/pid", &status) == 0) self.pid_namespace = status.st_ino;
  self.command = first_line("/proc/self/comm");
  return self;
}

std::array<std::uint8_t, 16> boot_id() {
  std::array<std::uint8_t, 16> id{};
  std::string text = first_line("/proc/sys/kernel/random/boot_id");
  std::erase(text, '-');
  if (text.size() != 32) return id;
  for (std::size_t i = 0; i < id.size(); ++i) {
    unsigned byte = 0;
    if (std::sscanf(text.c_str() + 2 * i, "%2x", &byte) != 1) return {};
    id[i] = static_cast<std::uint8_t>(byte);
  }
  return id;
}

std::atomic<void*>& fork_cleared_pointer() {
  static std::atomic<void*>* const page = new_fork_cleared_page();
  return *page;
}

}    // namespace keyrack::os
