// The arithmetic of keyrack top: what has happened between two snapshots, and the lists that tell it. Nothing here
// reads a segment or writes to a terminal.
#pragma once

#include "filter.hpp"
#include "output.hpp"

#include <keyrack/inspect.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack::command {

/// What is kept of a snapshot for the comparison with the next: far less than all of it.
class Earlier {
 public:
  explicit Earlier(const Snapshot&);

  const Counters& counters() const { return counters_; }
  /// Another segment may have got the name.
  bool is_of(const SegmentPicture& segment) const { return created_at_ == segment.created_at; }
  /// How often that key has been granted or released since, as far as its token tells. One that was not in this record
  /// counts once.
  std::uint64_t changes_to(const LockPicture&) const;

 private:
  struct Seen {
    std::size_t key_hash = 0;
    std::uint64_t token = 0;    // 0: there was no lock
  };

  std::vector<Seen> seen_;    // by record
  Counters counters_;
  std::chrono::system_clock::time_point created_at_;
};

struct Rate {
  std::string_view name;
  double value = 0;
};

struct TopPicture {
  Snapshot snapshot;
  bool is_compared = false;    ///< else there are no changes yet, and the rates are counts since the segment was made
  std::vector<Rate> rates;     ///< per second
  std::vector<double> changes;    ///< of each lock of the snapshot: grants and releases per second
  bool is_removed = false;        ///< the segment has no name any more
};

/// `now` has idle locks, too: most of the busiest are idle whenever one looks.
TopPicture compare(const Earlier* before, Snapshot now, std::chrono::duration<double> elapsed);

enum class Order : std::uint8_t { held, hottest, waiters, key };

inline constexpr std::size_t kOrders = 4;
/// held, hottest, waiters, key.
std::string_view to_string(Order);

/// A list as text: any bytes, not yet made printable.
struct List {
  struct Cell {
    std::string text;
    Colour colour = Colour::plain;
  };
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
  std::size_t first = 0;    ///< which one of all is the first row
};

/// At most so many of the locks that have what the order asks for, most of it first. `first` is how many are passed
/// over, as far as there are more.
List locks_of(const TopPicture&, Order, const Filter&, std::size_t first, std::size_t most);
List waiters_of(const TopPicture&, const Filter&, std::size_t most);    ///< the longest waiting
List dead_sessions_of(const TopPicture&, std::size_t most);

/// The figures above the lists, in words; each inner vector begins a line.
std::vector<std::vector<std::string>> figures_of(const TopPicture&);

}    // namespace keyrack::command
