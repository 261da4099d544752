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

using reference::Linearizer;
using reference::LockRules;
using reference::NameRules;

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

inline constexpr std::size_t kLockStatuses = 10, kNameStatuses = 5;

struct Counts {
  std::uint64_t killed = 0;                               // calls, cut short
  std::array<std::uint64_t, kLockStatuses> locks = {};    // calls by what they were answered
  std::array<std::uint64_t, kNameStatuses> names = {};
  std::uint64_t widest = 0;    // the most possibilities that were looked at for one call
};

class Checker {
 public:
  explicit Checker(Tampering tampering) : tampering_(tampering) {}

  /// What cannot have been, in words; nothing if all is well.
  std::optional<std::string> check(const Board& board, std::uint32_t window);

  const Counts& counts() const { return counts_; }

 private:
  void collect(const Board& board, std::uint32_t window);
  template <class Op, std::size_t statuses>
  void count(const Op& op, std::array<std::uint64_t, statuses>& answers);

  const Tampering tampering_;
  Counts counts_;
  std::array<std::vector<LockRules::Op>, kKeys> locks_;
  std::array<std::vector<NameRules::Op>, kFamilies> names_;
  std::array<Linearizer<LockRules>, kKeys> lock_histories_;
  std::array<Linearizer<NameRules>, kFamilies> name_histories_;
};

}    // namespace keyrack::history
