// System calls that can fail, and what their failure means to a caller.
#pragma once

#include <keyrack/errors.hpp>

#include <cerrno>
#include <string>

namespace keyrack::os {

/// An error number as an OpenError: EACCES, EPERM -> permission_denied, ENOENT -> no_segment, else backend_unavailable.
/// The detail says what was tried.
OpenError failure(const std::string& what, int error = errno);

/// Makes a system call again for as long as a signal interrupts it.
template <class Call>
auto uninterrupted(Call&& call) -> decltype(call()) {
  for (;;) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

/// Closes a file descriptor at the end of its life.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

}    // namespace keyrack::os
