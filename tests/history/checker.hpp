// Checks window after window of what was recorded, each key and each family by itself.
#pragma once

#include "record.hpp"

#include "reference/linearizer.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace keyrack::history {

using reference::Instant;
using reference::Linearizer;
using reference::LockRules;
using reference::NameRules;
using reference::Places;

/// Changes answers before they are checked: none of these histories may pass.
enum class Tampering {
  none,
  token_again,    // a new grant with the token of the one before
  renewal_new_token,
  refused_though_free,
  two_holders,     // granted though it was held
  wrong_holder,    // a check that tells another signee
  lost_though_held,
  held_though_lost,
  unlocked_nothing,
  name_too_high,
  name_twice,
  name_lost_though_held,
};

/// What a backend may do that shm:// never does.
struct Licence {
  Instant death = 0;     // ns until it is noticed that a process has ended
  Instant effect = 0;    // ns until a call without an answer takes effect, after it has returned or its process ended
};

inline constexpr std::size_t kLockStatuses = 10, kNameStatuses = 5;

struct Counts {
  std::uint64_t killed = 0;                               // calls, cut short
  std::uint64_t unavailable = 0;                          // calls without an answer
  std::array<std::uint64_t, kLockStatuses> locks = {};    // calls by what they were answered
  std::array<std::uint64_t, kNameStatuses> names = {};
  std::uint64_t widest = 0;    // the most possibilities that were looked at for one call
};

class Checker {
 public:
  Checker(Tampering tampering, const Licence& licence) : tampering_(tampering), licence_(licence) {}

  /// What cannot have been, in words; nothing if all is well.
  std::optional<std::string> check(const Board& board, std::uint32_t window);

  const Counts& counts() const { return counts_; }

 private:
  /// Of one key or family.
  template <class Rules>
  struct History {
    std::vector<typename Rules::Op> ops;    // those of the window, and earlier ones that are still under way
    Linearizer<Rules> linearizer;
  };

  void collect(const Board& board, std::uint32_t window);
  template <class Op>
  void add_death(std::vector<Op>& ops, const Death& death) const;
  template <class Op, class Record>
  void add(std::vector<Op>& ops, const Record& record, Places thread, const Death& death) const;
  template <class Op>
  void bind(Op& op, Places death) const;
  template <class Record, std::size_t statuses>
  void count(const Record& record, std::array<std::uint64_t, statuses>& answers);
  template <class Rules>
  std::optional<std::string> check_one(History<Rules>& history);
  template <class Visit>
  void for_each_history(Visit&& visit);

  const Tampering tampering_;
  const Licence licence_;
  Counts counts_;
  std::array<History<LockRules>, kKeys> locks_;
  std::array<History<NameRules>, kFamilies> names_;
};

}    // namespace keyrack::history
