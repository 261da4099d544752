#include "os/checked.hpp"

#include <unistd.h>

#include <utility>

namespace keyrack::os {

OpenError failure(const std::string& what, int error) {
  Errc code = Errc::backend_unavailable;
  if (error == EACCES || error == EPERM) code = Errc::permission_denied;
  if (error == ENOENT) code = Errc::no_segment;
  return {code, what + ": " + std::generic_category().message(error)};
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

}    // namespace keyrack::os
