// Who waits for whom, out of a picture: pure functions, and no printing.
#pragma once

#include <keyrack/inspect.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace keyrack::command {

/// The keys that somebody waits for, and who does. Whom a grant belongs to is what the library itself goes by when it
/// looks for cycles: a signee, and for a grant bound to a process a signee within that process's session.
struct WaitGraph {
  struct Lock {
    LockPicture picture;                 ///< idle, without a signee, if nobody holds it
    std::vector<std::size_t> waiters;    ///< who waits for it, longest first
    std::vector<std::size_t> holders;    ///< its holder's own places among the waiters: what holds the holder up
  };
  struct Waiter {
    WaiterPicture picture;
    std::size_t lock;                  ///< what he waits for
    std::vector<std::size_t> holds;    ///< what others wait for that is his
  };
  std::vector<Lock> locks;        ///< longest waited for first
  std::vector<Waiter> waiters;    ///< longest first
};

WaitGraph wait_graph(const Snapshot&);

/// The graph as a tree, line by line: a lock, below it its waiters, below each the locks that wait for him. What hangs
/// in several places is shown whole in the first, so that no tree is larger than its graph.
struct TreeLine {
  enum class Kind : std::uint8_t {
    lock,
    waiter,
    above,    ///< a lock that has been shown with all that is below it
    cycle,    ///< the lock that this very line is below of
  };
  Kind kind = Kind::lock;
  std::size_t index = 0;    ///< of the lock or the waiter
  std::size_t depth = 0;
  bool last = true;    ///< of its siblings
};

struct WaitTree {
  std::vector<TreeLine> lines;
  std::vector<std::vector<std::size_t>> cycles;    ///< waiters: each waits for what the next one holds, the last for
                                                   ///< the first
};

WaitTree tree_of(const WaitGraph&);

}    // namespace keyrack::command
