// What happened to a key between two looks at it: a pure function, and no printing.
#pragma once

#include <keyrack/inspect.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace keyrack::command {

struct Change {
  /// granted, renewed, transferred, released, stale, abandoned, or gone: past its time to live, or its record is taken.
  std::string_view kind;
  std::string previous_signee;    ///< whose it was at the look before
  /// Changes in between that no look saw, at most; empty if that cannot be told, since the key had no record then.
  std::optional<std::uint64_t> missed;
};

/// Empty if nothing that can be seen has changed. Every grant and every release takes a token, so that tokens tell what
/// was missed; renewals take none.
std::optional<Change> change_between(const std::optional<LockPicture>& before, const std::optional<LockPicture>& after);

}    // namespace keyrack::command
