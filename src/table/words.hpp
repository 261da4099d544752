// The packed words of shared memory, as values with named fields. No shift or mask on them stands anywhere else.
// What each field means and how it may change: README.md beside this folder's parent.
#pragma once

#include <cstdint>
#include <utility>

namespace keyrack::table {

using RecordIndex = std::uint32_t;
using ClaimantIndex = std::uint32_t;
using Tick = std::uint64_t;    // 40 bits of 262,144 ns since the segment's epoch

constexpr unsigned kTickShift = 18;
constexpr Tick kNever = (Tick{1} << 40) - 1;

/// A session and which of its lives: slots are reused, generations are not.
struct SessionId {
  std::uint32_t slot = 0;          // 16 bits
  std::uint32_t generation = 0;    // 24 bits
  friend bool operator==(SessionId, SessionId) = default;

  std::uint64_t pack() const { return std::uint64_t{generation} << 16 | slot; }    // 40 bits
  static SessionId unpack(std::uint64_t bits) {
    return {static_cast<std::uint32_t>(bits & 0xffff), static_cast<std::uint32_t>(bits >> 16 & 0xff'ffff)};
  }
};

/// First word of a cell: {token 56, edition 6, urgent 1, waiters 1}.
struct Head {
  std::uint64_t bits = 0;
  friend bool operator==(Head, Head) = default;

  std::uint64_t token() const { return bits >> 8; }
  bool waiters() const { return (bits & 1) != 0; }    // somebody sleeps, or slept, for this record
  bool urgent() const { return (bits & 2) != 0; }     // somebody has waited so long that newcomers queue behind

  Head next_token() const { return with_token(token() + 1); }    // keeps the flags, edition 0
  Head with_token(std::uint64_t token) const { return {token << 8 | (bits & 3)}; }
  /// A renewal that changes the owner keeps the token; so that no reader mixes two owners, it changes the edition.
  Head next_edition() const { return {(bits & ~kEdition) | ((bits + 4) & kEdition)}; }
  Head with_flags(bool urgent_flag, bool waiters_flag) const {
    return {(bits & ~std::uint64_t{3}) | (urgent_flag ? 2u : 0u) | (waiters_flag ? 1u : 0u)};
  }

 private:
  static constexpr std::uint64_t kEdition = 0xfc;
};

/// Second word of a cell: {deadline 40, owner 24}. Owners below 16 are states, the others claimants.
struct Owner {
  std::uint64_t bits = 0;
  friend bool operator==(Owner, Owner) = default;

  static Owner free() { return {0}; }
  static Owner idle() { return {1}; }
  static Owner dead() { return {2}; }
  static Owner alloc(SessionId by) { return {by.pack() << 24 | 3}; }
  static Owner claimant(ClaimantIndex index, Tick deadline) { return {deadline << 24 | (index + kFirstClaimant)}; }

  bool is_free() const { return code() == 0; }
  bool is_idle() const { return code() == 1; }
  bool is_dead() const { return code() == 2; }
  bool is_alloc() const { return code() == 3; }
  bool is_claimant() const { return code() >= kFirstClaimant; }
  bool is_known() const { return code() <= 3 || is_claimant(); }
  SessionId alloc_session() const { return SessionId::unpack(bits >> 24); }
  ClaimantIndex claimant_index() const { return code() - kFirstClaimant; }
  Tick deadline() const { return bits >> 24; }

  static constexpr std::uint32_t kFirstClaimant = 16;

 private:
  std::uint32_t code() const { return static_cast<std::uint32_t>(bits & 0xff'ffff); }
};

/// What a bucket or a record points to: {version 39, mark 1, record + 1 24}. Every write of a link raises its version;
/// a marked link belongs to a record that is being taken out of its chain.
struct Link {
  std::uint64_t bits = 0;
  friend bool operator==(Link, Link) = default;

  bool at_end() const { return (bits & 0xff'ffff) == 0; }
  RecordIndex record() const { return static_cast<RecordIndex>((bits & 0xff'ffff) - 1); }
  bool marked() const { return (bits & kMark) != 0; }

  /// The next version, pointing where `target` points; unmarked.
  Link pointing_as(Link target) const { return {next_version() | (target.bits & 0xff'ffff)}; }
  Link pointing_to(RecordIndex index) const { return {next_version() | (index + 1)}; }
  Link with_mark() const { return {next_version() | kMark | (bits & 0xff'ffff)}; }

 private:
  static constexpr std::uint64_t kMark = 1u << 24;
  std::uint64_t next_version() const { return (bits & ~((std::uint64_t{1} << 25) - 1)) + (std::uint64_t{1} << 25); }
};

/// A claimant's state: {generation 20, session 40, 0, single 1, pinned 1, used 1}.
struct ClaimantState {
  std::uint64_t bits = 0;
  friend bool operator==(ClaimantState, ClaimantState) = default;

  bool used() const { return (bits & 1) != 0; }
  bool pinned() const { return (bits & 2) != 0; }    // its session may put it into a cell
  bool single() const { return (bits & 4) != 0; }    // goes into one cell, once
  SessionId session() const { return SessionId::unpack(bits >> 4 & kSession); }

  ClaimantState taken(SessionId by, bool single_use) const {
    return {(bits & ~kRest) | by.pack() << 4 | (single_use ? 4u : 0u) | 3u};
  }
  ClaimantState dropped() const { return {bits & ~std::uint64_t{2}}; }
  ClaimantState freed() const { return {(bits & ~kRest) + (kRest + 1)}; }

 private:
  static constexpr std::uint64_t kSession = (std::uint64_t{1} << 40) - 1;
  static constexpr std::uint64_t kRest = (std::uint64_t{1} << 44) - 1;
};

/// A session's life: {generation 32 (24 used), futex 32}. See os/keeper.hpp.
struct Life {
  std::uint64_t bits = 0;

  std::uint32_t generation() const { return static_cast<std::uint32_t>(bits >> 32) & 0xff'ffff; }
  std::uint32_t next_generation() const { return (generation() + 1) & 0xff'ffff; }
  std::uint32_t futex() const { return static_cast<std::uint32_t>(bits); }
  bool alive() const { return (bits & 0x3fff'ffff) != 0; }          // FUTEX_TID_MASK
  bool owner_died() const { return (bits & 0x4000'0000) != 0; }     // FUTEX_OWNER_DIED, not yet cleared up after
  bool has_waiters() const { return (bits & 0x8000'0000) != 0; }    // FUTEX_WAITERS: the kernel wakes one at the death
  Life with_waiters() const { return {bits | 0x8000'0000}; }
  Life cleared() const { return {bits & ~std::uint64_t{0xffff'ffff}}; }
};

/// A waiter slot's state: {generation 20, session 40, 0, passed 1, ready 1, used 1}.
struct WaiterState {
  std::uint64_t bits = 0;
  friend bool operator==(WaiterState, WaiterState) = default;

  bool used() const { return (bits & 1) != 0; }
  bool ready() const { return (bits & 2) != 0; }     // its fields are written
  bool passed() const { return (bits & 4) != 0; }    // did not come when it was its turn; others need not wait for it
  SessionId session() const { return SessionId::unpack(bits >> 4 & ((std::uint64_t{1} << 40) - 1)); }

  WaiterState taken(SessionId by) const {
    const std::uint64_t rest = (std::uint64_t{1} << 44) - 1;
    return {((bits & ~rest) + (rest + 1)) | by.pack() << 4 | 1u};
  }
  WaiterState made_ready() const { return {(bits & ~std::uint64_t{4}) | 2}; }
  WaiterState passed_over() const { return {bits | 4}; }
  WaiterState freed() const { return {bits & ~((std::uint64_t{1} << 44) - 1)}; }
};

/// Beside a cell, for people: {tick 40, low token bits 24}. Says when the grant with that token was made.
struct Since {
  std::uint64_t bits = 0;

  static Since at(Tick tick, std::uint64_t token) { return {tick << 24 | (token & 0xff'ffff)}; }
  bool of(std::uint64_t token) const { return (bits & 0xff'ffff) == (token & 0xff'ffff); }
  Tick tick() const { return bits >> 24; }
};

/// What a record is for, and most of what its key is known by: {hash 48, length 13, kind 3}.
enum class Kind : std::uint8_t { none = 0, lock = 1, name = 2 };

struct Tag {
  std::uint64_t bits = 0;
  friend bool operator==(Tag, Tag) = default;

  static Tag of(Kind kind, std::uint64_t hash, std::size_t length) {
    return {hash << 16 | static_cast<std::uint64_t>(length) << 3 | static_cast<std::uint64_t>(kind)};
  }
  Kind kind() const { return static_cast<Kind>(bits & 7); }
  std::size_t length() const { return bits >> 3 & 0x1fff; }
  std::uint64_t hash() const { return bits >> 16; }
};

/// A family's number: {birth 32, value 32}. The birth is the token that the record had when it was given
/// its key: a compare-and-swap meant for an earlier life of the record fails.
struct Born {
  std::uint64_t bits = 0;

  static Born at(std::uint64_t token, std::uint32_t value) { return {token << 32 | value}; }
  std::uint32_t value() const { return static_cast<std::uint32_t>(bits); }
  std::uint32_t birth() const { return static_cast<std::uint32_t>(bits >> 32) & 0xff'ffff; }    // as Hints tell it
  Born with(std::uint32_t value) const { return {(bits >> 32 << 32) | value}; }
};

/// The like for a set of hints: {birth 24, version 8, doubts 16, hints 16}. A hint is doubted before it is taken away;
/// each new doubt has another version.
struct Hints {
  std::uint64_t bits = 0;

  static Hints none(std::uint64_t token) { return {token << 40}; }
  std::uint32_t birth() const { return static_cast<std::uint32_t>(bits >> 40); }
  std::uint32_t set() const { return static_cast<std::uint32_t>(bits & 0xffff); }
  bool has(std::uint32_t hint) const { return (bits & hint) != 0; }
  bool doubts(std::uint32_t hint) const { return (bits >> 16 & hint) != 0; }

  Hints with(std::uint32_t hint) const { return {(bits & ~doubt(hint)) | hint}; }    // and beyond doubt
  Hints without(std::uint32_t hint) const { return {bits & ~doubt(hint) & ~std::uint64_t{hint}}; }
  Hints doubting(std::uint32_t hint) const {
    const std::uint64_t next = (bits + kVersion) & (0xff * kVersion);
    return {(bits & ~(0xff * kVersion)) | next | doubt(hint)};
  }

 private:
  static constexpr std::uint64_t kVersion = std::uint64_t{1} << 32;
  static std::uint64_t doubt(std::uint32_t hint) { return std::uint64_t{hint} << 16; }
};

/// The like for a tick: {tick 40, birth 24}.
struct BornTick {
  std::uint64_t bits = 0;

  static BornTick at(std::uint64_t token, Tick tick) { return {tick << 24 | (token & 0xff'ffff)}; }
  Tick tick() const { return bits >> 24; }
  std::uint32_t birth() const { return static_cast<std::uint32_t>(bits & 0xff'ffff); }
  BornTick with(Tick tick) const { return {tick << 24 | (bits & 0xff'ffff)}; }
};

/// A claimant's rank and kind: {level 32, signee length 16, 0, lifetime 1}.
struct Rank {
  std::uint64_t bits = 0;
  friend bool operator==(Rank, Rank) = default;

  static Rank of(std::int32_t level, std::size_t signee_length, bool process_bound) {
    return {std::uint64_t{static_cast<std::uint32_t>(level)} << 32 | static_cast<std::uint64_t>(signee_length) << 16 |
            (process_bound ? 1u : 0u)};
  }
  std::int32_t level() const { return static_cast<std::int32_t>(bits >> 32); }
  std::size_t signee_length() const { return bits >> 16 & 0xffff; }
  bool process_bound() const { return (bits & 1) != 0; }
};

}    // namespace keyrack::table
