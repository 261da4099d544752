// What can go wrong, and what to do about it.
//
// Every call that can fail returns a Result: a value, or an error that says why there is none. Nothing here throws
// unless you ask for it: value() on a Result without one throws std::system_error with the error's code and message.
#pragma once

#include <keyrack/version.hpp>

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>

#include <cstdint>
#include <string>
#include <system_error>

namespace keyrack {

/// Every error keyrack knows. Their std::error_code has the category "keyrack"; each also equals the std::errc named
/// here, where there is one. Remedies are for the person who reads the log.
enum class Errc {
  forbidden = 1,      ///< held by somebody else, and no rule lets you take it. Wait (lock_for), or do other work.
  bad_request,        ///< empty or over-long signature, signee, family or name; NUL inside. std::errc::invalid_argument
  not_found,          ///< check(): no such lock.
  in_use,             ///< try_acquire(), try_hold(): somebody has that name.
  not_exist,          ///< try_acquire(), try_hold(): that name was never acquired.
  timed_out,          ///< a bounded wait ran out. std::errc::timed_out
  table_full,         ///< no room for another record; nothing was changed. Unlock something, or make more room.
  session_limit,      ///< no room for another attached process. Close one, or create the segment with more `sessions`.
  bad_url,            ///< open_*(): the detail names the offending part. std::errc::invalid_argument
  unknown_backend,    ///< open_*(): nobody registered that protocol.
  no_segment,         ///< open-only, and there is none. std::errc::no_such_file_or_directory
  incompatible_segment,    ///< another layout version or geometry. Leave the options out, or remove the segment.
  corrupt_segment,         ///< the bytes make no sense; never a crash. On shm://, `keyrack verify` tells; remove it.
  permission_denied,       ///< not for this user. std::errc::permission_denied
  backend_unavailable,     ///< a remote engine does not answer, or the system refuses what the backend needs.
  lost,                    ///< what you held was taken away (expired, forced, reset). Stop the work that it protected.
  would_deadlock,          ///< waiting would close a cycle of waiters. std::errc::resource_deadlock_would_occur
};

/// The category "keyrack".
KEYRACK_API const std::error_category& category() noexcept;

KEYRACK_API std::error_code make_error_code(Errc) noexcept;

template <class T, class E = std::error_code>
using Result = boost::system::result<T, E>;

/// Why a lock or unlock was refused, and who is in the way.
struct Refusal {
  std::error_code code;
  std::string holder = {};    ///< forbidden, timed_out: the signee that holds it; else empty
  std::int32_t level = 0;     ///< of the holder's grant
  std::int32_t pid = 0;       ///< the process it was granted to, as that process sees itself
  std::uint64_t token = 0;    ///< of the holder's grant

  operator std::error_code() const noexcept { return code; }
  /// For people: "held by worker-7 (pid 4711, level 0)".
  KEYRACK_API std::string message() const;
};

/// Why a service could not be opened.
struct OpenError {
  std::error_code code;
  std::string detail = {};    ///< the offending part: "duration=fast is not a duration", "needs 32 MiB, /dev/shm has 4"

  operator std::error_code() const noexcept { return code; }
  /// Code and detail, for people.
  KEYRACK_API std::string message() const;
};

// Found by boost::system::result when value() is called on an error.
[[noreturn]] KEYRACK_API void throw_exception_from_error(const Refusal&, const boost::source_location&);
[[noreturn]] KEYRACK_API void throw_exception_from_error(const OpenError&, const boost::source_location&);

}    // namespace keyrack

template <>
struct std::is_error_code_enum<keyrack::Errc> : std::true_type {};
