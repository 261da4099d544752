#include "wait_graph.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace keyrack::command {
namespace {

bool is_held_by(const LockPicture& lock, const WaiterPicture& waiter) {
  return lock.state != LockState::idle && lock.signee == waiter.signee &&
         (!lock.process_bound || lock.session == waiter.session);
}

/// Up from a lock to what holds up its holder, and so on: to a lock that nothing holds up, or into a cycle.
std::size_t top_above(const WaitGraph& graph, std::size_t lock, std::vector<bool>& passed) {
  std::vector<std::size_t> way;
  while (!passed[lock] && !graph.locks[lock].holders.empty()) {
    passed[lock] = true;
    way.push_back(lock);
    lock = graph.waiters[graph.locks[lock].holders.front()].lock;
  }
  for (const std::size_t one : way) passed[one] = false;
  return lock;
}

/// A walk in depth, without recursion: whoever writes the segment decides how deep it goes.
class TreeWalk {
 public:
  explicit TreeWalk(const WaitGraph& graph) : graph_(graph), states_(graph.locks.size(), State::unseen) {}

  WaitTree run() {
    std::vector<bool> passed(graph_.locks.size());
    for (std::size_t lock = 0; lock < graph_.locks.size(); ++lock) {
      if (states_[lock] == State::unseen) from(top_above(graph_, lock, passed));
    }
    return std::move(tree_);
  }

 private:
  enum class State : std::uint8_t { unseen, open, done };
  struct Visit {
    TreeLine line;
    bool leaves = false;    // what was below it is done
  };

  void from(std::size_t root) {
    to_visit_.push_back({{TreeLine::Kind::lock, root, 0, true}});
    while (!to_visit_.empty()) {
      const Visit visit = to_visit_.back();
      to_visit_.pop_back();
      if (visit.leaves) {
        way_.pop_back();
        if (visit.line.kind == TreeLine::Kind::lock) states_[visit.line.index] = State::done;
      } else if (visit.line.kind == TreeLine::Kind::waiter) {
        enter(visit.line, TreeLine::Kind::lock, graph_.waiters[visit.line.index].holds);
      } else {
        meet(visit.line);
      }
    }
  }

  void meet(TreeLine line) {
    State& state = states_[line.index];
    if (state == State::unseen) {
      state = State::open;
      enter(line, TreeLine::Kind::waiter, graph_.locks[line.index].waiters);
      return;
    }
    line.kind = state == State::open ? TreeLine::Kind::cycle : TreeLine::Kind::above;
    tree_.lines.push_back(line);
    if (state == State::open) tree_.cycles.push_back(cycle_to(line.index));
  }

  void enter(const TreeLine& line, TreeLine::Kind kind, const std::vector<std::size_t>& below) {
    tree_.lines.push_back(line);
    way_.push_back(line);
    to_visit_.push_back({line, true});
    for (std::size_t i = below.size(); i-- > 0;) {
      to_visit_.push_back({{kind, below[i], line.depth + 1, i + 1 == below.size()}});
    }
  }

  /// The waiters on the way from that lock to here: each but the first waits for what the one before him holds.
  std::vector<std::size_t> cycle_to(std::size_t lock) const {
    std::vector<std::size_t> cycle;
    for (auto at = way_.rbegin(); at->kind != TreeLine::Kind::lock || at->index != lock; ++at) {
      if (at->kind == TreeLine::Kind::waiter) cycle.push_back(at->index);
    }
    return cycle;
  }

  const WaitGraph& graph_;
  std::vector<State> states_;    // of the locks
  std::vector<Visit> to_visit_;
  std::vector<TreeLine> way_;    // from the root to here
  WaitTree tree_;
};

}    // namespace

WaitGraph wait_graph(const Snapshot& snapshot) {
  WaitGraph graph;
  std::unordered_map<std::string_view, std::size_t> lock_of;    // by key
  for (const WaiterPicture& waiter : snapshot.waiters) {        // longest first
    if (waiter.signature.empty()) continue;                     // on the way to another record
    const auto [known, is_new] = lock_of.try_emplace(waiter.signature, graph.locks.size());
    if (is_new) {
      WaitGraph::Lock lock;
      lock.picture.signature = waiter.signature;
      lock.picture.state = LockState::idle;
      graph.locks.push_back(std::move(lock));
    }
    graph.locks[known->second].waiters.push_back(graph.waiters.size());
    graph.waiters.push_back({waiter, known->second, {}});
  }
  for (const LockPicture& lock : snapshot.locks) {
    if (const auto known = lock_of.find(lock.signature); known != lock_of.end()) {
      graph.locks[known->second].picture = lock;
    }
  }

  std::unordered_map<std::string_view, std::vector<std::size_t>> waiters_of;    // by signee
  for (std::size_t i = 0; i < graph.waiters.size(); ++i) waiters_of[graph.waiters[i].picture.signee].push_back(i);
  for (std::size_t lock = 0; lock < graph.locks.size(); ++lock) {
    const auto same_signee = waiters_of.find(graph.locks[lock].picture.signee);
    if (same_signee == waiters_of.end()) continue;
    for (const std::size_t waiter : same_signee->second) {
      if (!is_held_by(graph.locks[lock].picture, graph.waiters[waiter].picture)) continue;
      graph.locks[lock].holders.push_back(waiter);
      graph.waiters[waiter].holds.push_back(lock);
    }
  }
  return graph;
}

WaitTree tree_of(const WaitGraph& graph) { return TreeWalk(graph).run(); }

}    // namespace keyrack::command
