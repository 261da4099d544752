// What answers etcd:// URLs, from when it is linked.
#include "etcd/guard.hpp"
#include "etcd/place.hpp"
#include "etcd/services.hpp"

#include <keyrack/etcd.hpp>

namespace keyrack {
namespace {

using namespace etcd;

/// Asks etcd for anything, so that an address or a password that is wrong is told here, and with its name.
template <class Service>
Opened<Service> open(std::string_view rest, Opened<Service> (*open_service)(const Options&)) {
  const auto options = etcd::parse_options(rest);
  if (!options) return options.error();
  const auto place = Place::of(*options);
  const auto answer =
      place->client().commit({.then = {read({place->keys().reset()})}}, steady_clock::now() + options->timeout);
  if (!answer) return OpenError{error_of(answer.error()), answer.error().what};
  return open_service(*options);
}

[[maybe_unused]] const bool kRegistered = (register_etcd_backend(), true);

}    // namespace

void register_etcd_backend() {
  register_backend({
      .protocol = "etcd",
      .description = R"(an etcd cluster, for the processes of many hosts

  etcd://HOST:PORT[,HOST:PORT...]/PREFIX[?OPTION=VALUE[&OPTION=VALUE]...]

  PREFIX begins all keys. Bytes that a URL reserves are written %HH. Durations are written 250ms, 10s, 1m30s, 2h.

  ca, cert, key            files: authority to trust, certificate and key to show; any of them means TLS
  tls=false                true: TLS with the system's authorities
  user, password           for etcd's own authentication
  timeout=3s               no call takes longer; a wait takes this much longer at the most
  session_ttl=5s           how late the death of a process is noticed
  clock_error=500ms        how far the clocks of two hosts may be apart
  max_signature=128        bytes of a signature or family, 1 to 4096
  max_signee=64            bytes of a signee, 1 to 4096
  duration=none            default lease of locks; none: a grant never goes stale
  time_to_live=none        default time to live of locks
  auto_release_after=none  a name not acquired or kept alive for so long counts as released)",
      .open_lock_service = [](std::string_view rest) { return open(rest, &etcd::open_lock_service); },
      .open_name_manager = [](std::string_view rest) { return open(rest, &etcd::open_name_manager); },
  });
}

}    // namespace keyrack
