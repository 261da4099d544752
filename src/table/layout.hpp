// Every byte of a segment, once.
//
//   offset 0   Header                                   one page
//   then       LifeEntry    [sessions]                  16 bytes each: who lives
//              SessionInfo  [sessions]                  128 bytes each: who they are, for people
//              SessionCounts [sessions]                 1216 bytes each: what they have counted, for people
//              Waiter       [2 × sessions + 64]         128 bytes each: who sleeps for what
//              Bucket       [power of two ≥ slots]      16 bytes each: heads of chains
//              Claimant     [slots + 16 × sessions + 64]  64-byte multiple: who asks
//              Record       [slots]                     at least 256 bytes: key, and the cell that says who holds it
//
// Each array begins on a page. All zero is the state of a fresh array, so formatting writes the header alone.
// A layout is known by its version and by a fingerprint of the sizes and offsets below; another one is refused.
#pragma once

#include "os/keeper.hpp"
#include "os/word.hpp"
#include "table/words.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace keyrack::table {

using os::LifeEntry;
using os::Word;
using os::WordPair;

constexpr std::uint64_t kMagic = 0x6b63'6172'7965'6b01;    // "\1keyrack" in memory
constexpr std::uint32_t kLayoutVersion = 1;

constexpr std::uint32_t kMaxSlots = 15'000'000;    // with the claimants of all sessions, indexes fit 24 bits
constexpr std::uint32_t kMaxSessions = 65'535;
constexpr std::uint32_t kMaxKeyBytes = 4096;

struct Geometry {
  std::uint32_t slots = 65'536, sessions = 1'024, max_signature = 128, max_signee = 64;
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

struct Header {
  std::uint64_t magic;
  std::uint32_t layout_version;
  Geometry geometry;
  std::uint32_t reserved;
  std::uint64_t fingerprint;
  std::uint64_t bytes;                     // of the whole segment
  std::array<std::uint8_t, 16> boot_id;    // leases and life words mean nothing after a boot
  std::int64_t epoch_ns;                   // monotonic time of tick 0
  std::int64_t created_ns;                 // wall clock
  Word ready;                              // 1, stored last: everything above, the next, and all arrays are good
  std::int64_t clock_offset_ns;            // of the clock that ticks are told by; see os::clock_offset_ns()

  alignas(128) Word names_epoch;           // names of another epoch were forgotten by a reset; 32 bits
  alignas(128) Word records_high_water;    // records at or above were never used
  Word sessions_high_water;
  Word waiters_high_water;
};

struct Bucket {
  Word link;
  Word floor;    // the highest token of any record that ever left this chain
};

struct Record {
  WordPair cell;    // Head, Owner
  Word next;        // Link
  Word tag;         // Tag
  Word since;       // Since; locks only
  Word key[1];      // key bytes in words, zero padded; see RecordShape for what follows
};

/// Where the rest of a record lies: behind its key, whose room depends on the geometry.
constexpr std::size_t kKeyOffset = offsetof(Record, key);
constexpr unsigned kHintLevels = 6;    // 16^6 names
constexpr unsigned kHintFan = 16;
constexpr std::size_t kNameQualifierBytes = 8;    // a name's key: {epoch 32, number 32}, then the family

struct NamePart {
  Word created;               // wall clock, ns
  Word count;                 // of name 0 of a family: {birth 32, numbers below were registered 32}
  Word hints[kHintLevels];    // of name n at level k, where 16^(k+1) divides n: Hints; see names.hpp
  Word oldest;                // of name 0 of a family: {tick 40, birth 24}: no held name was updated before, but for
                              // those that are announced as free by age
};

struct Claimant {
  Word state;    // ClaimantState
  Word rank;     // Rank
  Word pid;
  Word lease_gap;    // ticks from the deadline in the cell to the end of the lease; kNever: no lease
  Word gone_gap;     // ticks from the deadline in the cell to the end of the record; kNever: no time to live
  Word signee[1];    // bytes in words, zero padded
};

struct Waiter {
  Word state;       // WaiterState
  Word wake;        // low half: a futex, raised by whoever wakes this waiter
  Word record;      // RecordIndex
  Word claimant;    // who waits; pinned for as long
  Word since_ns;    // monotonic; the older goes first
  Word unused[11];
};

struct SessionInfo {
  Word generation;    // whose info this is
  Word pid;
  Word pid_namespace;
  Word uid;
  Word attached_ns;    // wall clock
  Word command[2];
  Word unused[9];
};

/// What is counted, for people. Same order as in keyrack::Counters.
enum class Counter : unsigned {
  grants,    // from here on by each thread in words of its own
  renewals,
  refusals,
  lendings,
  inserts,    // from here on in the session's
  evictions,
  transfers_expired,
  transfers_abandoned,
  transfers_outranked,
  transfers_forced,
  waits,
  deadlocks,
  recoveries
};
constexpr unsigned kThreadCounters = 4;    // up to lendings
constexpr unsigned kCounters = 13;

/// For people, and nothing that is decided rests on it: relaxed always.
using CountWord = std::atomic<std::uint64_t>;

constexpr unsigned kTimes = 28;

/// Durations: [i] were below 2^i microseconds and not below half of that, the last one all that were longer.
struct TimesHistogram {
  CountWord times[kTimes];
  CountWord sum_us;
};

/// A line of its own: who counts there need not ask whether others do.
struct alignas(64) ThreadCounts {
  CountWord counters[8];
};

constexpr unsigned kThreadCounts = 8;    // the last one is shared by all threads that have none

/// Never zeroed: sums never fall, whoever dies where.
struct alignas(64) SessionCounts {
  ThreadCounts threads[kThreadCounts];
  CountWord counters[kCounters];    // those of threads stay 0
  CountWord before[kCounters];      // what all had come to when this session attached
  TimesHistogram waiting, holding;
};

constexpr std::size_t kPage = 4096;

constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

/// Sizes and offsets of a segment of some geometry. What else is to be known follows from the geometry alone.
struct Layout {
  explicit constexpr Layout(const Geometry& g)
      : geometry(g),
        buckets(std::bit_ceil(g.slots)),
        claimants(g.slots + 16 * g.sessions + 64),
        waiters(2 * g.sessions + 64),
        name_offset(kKeyOffset + round_up(g.max_signature + kNameQualifierBytes, 8)),
        record_stride(std::max<std::size_t>(256, round_up(name_offset + sizeof(NamePart), 64))),
        claimant_stride(round_up(offsetof(Claimant, signee) + g.max_signee, 64)),
        lives_at(kPage),
        infos_at(round_up(lives_at + sizeof(LifeEntry) * g.sessions, kPage)),
        counts_at(round_up(infos_at + sizeof(SessionInfo) * g.sessions, kPage)),
        waiters_at(round_up(counts_at + sizeof(SessionCounts) * g.sessions, kPage)),
        buckets_at(round_up(waiters_at + sizeof(Waiter) * waiters, kPage)),
        claimants_at(round_up(buckets_at + sizeof(Bucket) * buckets, kPage)),
        records_at(round_up(claimants_at + claimant_stride * claimants, kPage)),
        bytes(round_up(records_at + record_stride * g.slots, kPage)) {}

  Geometry geometry;
  std::uint32_t buckets, claimants, waiters;
  std::size_t name_offset, record_stride, claimant_stride;
  std::size_t lives_at, infos_at, counts_at, waiters_at, buckets_at, claimants_at, records_at, bytes;

  /// Two builds that disagree on any of these must not share a segment.
  constexpr std::uint64_t fingerprint() const {
    std::uint64_t hash = 0xcbf2'9ce4'8422'2325;    // FNV-1a over the numbers
    for (std::uint64_t number :
         {std::uint64_t{kLayoutVersion}, std::uint64_t{geometry.slots}, std::uint64_t{geometry.sessions},
          std::uint64_t{geometry.max_signature}, std::uint64_t{geometry.max_signee}, std::uint64_t{sizeof(Header)},
          std::uint64_t{sizeof(SessionInfo)}, std::uint64_t{sizeof(SessionCounts)}, std::uint64_t{sizeof(Waiter)},
          std::uint64_t{sizeof(NamePart)}, std::uint64_t{kTickShift}, std::uint64_t{kHintFan},
          std::uint64_t{name_offset}, std::uint64_t{record_stride}, std::uint64_t{claimant_stride},
          std::uint64_t{records_at}, std::uint64_t{bytes}}) {
      hash = (hash ^ number) * 0x100'0000'01b3;
    }
    return hash;
  }
};

static_assert(sizeof(Header) <= kPage);
static_assert(offsetof(Header, ready) == 80 && offsetof(Header, names_epoch) == 128);
static_assert(sizeof(LifeEntry) == 16 && sizeof(Bucket) == 16 && sizeof(Waiter) == 128 && sizeof(SessionInfo) == 128);
static_assert(sizeof(ThreadCounts) == 64 && sizeof(SessionCounts) == 1216);
static_assert(offsetof(Record, next) == 16 && offsetof(Record, tag) == 24 && kKeyOffset == 40);
static_assert(offsetof(Claimant, signee) == 40);
static_assert(Layout(Geometry{}).record_stride == 256 && Layout(Geometry{}).claimant_stride == 128);
static_assert(Layout(Geometry{}).bytes <= 512 * std::size_t{Geometry{}.slots}, "at most 512 bytes a record");
static_assert(kMaxSlots < 1u << 4 * kHintLevels);
static_assert(kMaxSlots + 16 * kMaxSessions + 64 + Owner::kFirstClaimant <= 0xff'ffff);

}    // namespace keyrack::table
