// The default signee of run.
#include "signee.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace keyrack::command {

std::string signee_of(std::string_view user, std::string_view host, pid_t pid) {
  constexpr std::size_t kRoom = 64, kRoomForUser = 32, kRoomForUserBesideHost = 20;
  std::string signee = fmt::format("run-{}", user.substr(0, host.empty() ? kRoomForUser : kRoomForUserBesideHost));
  const std::string end = fmt::format("-{}", pid);
  if (!host.empty()) {
    const std::string_view name = host.substr(0, host.find('.'));
    const std::size_t room = kRoom - signee.size() - 1 - end.size();
    signee.append("-").append(name.substr(name.size() - std::min(name.size(), room)));
  }
  return signee + end;
}

}    // namespace keyrack::command
