// Real processes for the cases: memory they share, forked children, pinning, and meeting points with a deadline.
#pragma once

#include <sched.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace keyrack::bench {

inline std::int64_t read_clock(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}
inline std::int64_t now_ns() { return read_clock(CLOCK_MONOTONIC); }
/// What this thread has computed: the time of others on the same processor does not count.
inline std::int64_t cpu_ns() { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

/// A T that this process shares with those it forks later.
template <class T>
class Shared {
 public:
  Shared() : Shared(1) {}
  explicit Shared(std::size_t count) : bytes_(sizeof(T) * count) {
    void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    values_ = static_cast<T*>(memory);
    for (std::size_t i = 0; i < count; ++i) new (values_ + i) T();
  }
  ~Shared() { ::munmap(values_, bytes_); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T* operator->() const { return values_; }
  T& operator*() const { return *values_; }
  T& operator[](std::size_t index) const { return values_[index]; }

 private:
  std::size_t bytes_;
  T* values_;
};

/// How many forks as a Child lie between the first process and this one: another number means another process than
/// before.
inline unsigned process_generation = 0;

/// A T for each process that uses it: one that a parent has made, such as a connection, is of no use to its children.
template <class T>
class PerProcess {
 public:
  /// The one of this process; `make`, which answers a unique_ptr, is called for the first use.
  template <class Make>
  T& get(Make&& make) {
    if (!value_ || of_ != process_generation) [[unlikely]] {
      (void)value_.release();    // its end is the parent's business
      value_ = make();
      of_ = process_generation;
    }
    return *value_;
  }

 private:
  std::unique_ptr<T> value_;
  unsigned of_ = 0;
};

/// A forked process that runs some code and exits. It does not outlive this object, nor its parent.
class Child {
 public:
  template <class Run>
  explicit Child(Run&& run) : pid_(begin()) {
    if (pid_ != 0) return;
    try {
      run();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "keyrack_bench: a forked process failed: %s\n", error.what());
      ::_exit(1);
    }
    ::_exit(0);
  }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Child& operator=(Child&&) = delete;
  ~Child();

  pid_t pid() const { return pid_; }
  /// SIGKILL, and waits for its end.
  void kill();
  /// Waits for its end; throws unless all was well.
  void join();
  /// Throws if it has ended.
  void require_alive() const;

 private:
  static pid_t begin();
  pid_t pid_;
};

/// Pins this thread to one of the processors that it may use, while this object lives.
class Pin {
 public:
  explicit Pin(unsigned nth);
  ~Pin();
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

 private:
  cpu_set_t before_;
};

/// Spins until something is so; throws if it is not so within a minute.
template <class Condition>
void await(const char* what, Condition&& condition) {
  for (std::int64_t deadline = 0;;) {
    for (int spin = 0; spin < 4096; ++spin) {
      if (condition()) return;
      __builtin_ia32_pause();
    }
    ::sched_yield();    // who is waited for may need this processor
    const std::int64_t now = now_ns();
    if (deadline == 0) deadline = now + 60'000'000'000;
    if (now > deadline) throw std::runtime_error(std::string("waited a minute for ") + what);
  }
}

/// Until the kernel says that the main thread of a process sleeps, and has not woken for so long.
void await_asleep(pid_t, std::chrono::nanoseconds for_so_long = {});

}    // namespace keyrack::bench
