// What an etcd:// URL asks for.
#pragma once

#include <keyrack/errors.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack::etcd {

using std::chrono::nanoseconds;

/// How etcd is reached, and as whom.
struct Access {
  std::vector<std::string> endpoints;    // HOST:PORT
  bool tls = false;
  std::string ca, cert, key;    // files; empty: the system's authorities, no certificate of our own
  std::string user, password;

  friend auto operator<=>(const Access&, const Access&) = default;    // NOLINT(modernize-use-nullptr): none is there
};

struct Options {
  Access access;
  std::string prefix;    // of all keys; ends with a slash
  nanoseconds timeout = std::chrono::seconds(3);
  nanoseconds session_ttl = std::chrono::seconds(5);
  nanoseconds clock_error = std::chrono::milliseconds(500);
  std::uint32_t max_signature = 128, max_signee = 64;
  std::optional<nanoseconds> duration, time_to_live, auto_release_after;
};

/// `rest` is what follows "etcd://". Errors: bad_url, the detail names the offending part.
Result<Options, OpenError> parse_options(std::string_view rest);

}    // namespace keyrack::etcd
