// Is there an order of the calls, each at an instant between its beginning and its end, that the rules allow?
//
// Just-in-time linearization: goes through beginnings and ends in the order of time and keeps every *possibility*: a
// state of the rules, and which of the calls that are under way have taken effect in it. A call that ends must have
// taken effect; what makes that possible is tried then and not before. A call without an answer, as one whose process
// was killed, may have taken effect by its end, or not.
#pragma once

#include "sequential_model.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace keyrack::reference {

using Places = std::uint64_t;    // a set of places

template <class Call, class Answer>
struct Operation {
  Call call = {};
  Answer answer = {};
  Interval when = {};
  bool answered = true;                    // else nobody knows whether it took effect
  bool ends = true;                        // else it is still under way when what is checked is over
  Places place = 0;                        // one bit: no two calls that are under way at one time have the same
  Places not_after = 0;                    // the death of its process
  std::vector<Number> passed_over = {};    // names only; filled in here
};

template <class Rules>
class Linearizer {
 public:
  using State = typename Rules::State;
  using Op = typename Rules::Op;

  struct Possibility {
    State state = {};
    Places done = 0;
    friend bool operator==(const Possibility&, const Possibility&) = default;
  };

  /// Everything that happened in a time. Calls that were under way at its end are handed in again with what came next,
  /// in their old places. False: no order is allowed.
  bool check(std::vector<Op>& ops) {
    std::vector<Event> events;
    events.reserve(2 * ops.size());
    for (std::uint32_t index = 0; index < ops.size(); ++index) {
      events.push_back({ops[index].when.from, false, index});
      if (ops[index].ends) events.push_back({ops[index].when.to, true, index});
    }
    std::sort(events.begin(), events.end());    // at the same instant beginnings come first
    for (const Event& event : events) {
      if (!event.is_end) {
        begin(ops[event.index]);
      } else if (!end(ops[event.index])) {
        failed_ = event.index;
        return false;
      }
    }
    under_way_.clear();
    return true;
  }

  std::size_t widest() const { return widest_; }
  /// After a failure: the call that cannot have been answered so, and what was possible before it.
  std::uint32_t failed() const { return failed_; }
  const std::vector<Possibility>& possibilities() const { return possible_; }

 private:
  struct Event {
    Instant at;
    bool is_end;
    std::uint32_t index;
    friend auto operator<=>(const Event&, const Event&) = default;
  };

  void begin(Op& op) {
    Rules::begins(op, under_way_);
    under_way_.push_back(&op);
  }

  bool end(Op& op) {
    if (op.answered) {
      if (!take_effect(op)) return false;
    } else {
      std::vector<Possibility> without = possible_;
      if (!take_effect(op)) possible_.clear();
      for (Possibility& possibility : without) add(possible_, std::move(possibility));
    }
    under_way_.erase(std::find(under_way_.begin(), under_way_.end(), &op));
    std::vector<Possibility> after;
    after.reserve(possible_.size());
    for (Possibility& possibility : possible_) {
      possibility.done &= ~op.place;
      add(after, std::move(possibility));
    }
    possible_ = std::move(after);
    return true;
  }

  /// All that is possible if this call has taken effect now.
  bool take_effect(const Op& op) {
    if (op.answered && under_way_.size() == 1 && possible_.size() == 1 &&
        possible_[0].done == 0) {    // alone: the commonest case
      Rules::next(possible_[0].state, op, next_);
      if (next_.size() != 1) return false;
      possible_[0] = {std::move(next_[0]), op.place};
      return true;
    }
    const Kinds kinds = kinds_under_way();
    std::vector<Possibility> tried = possible_, after;
    for (std::size_t at = 0; at < tried.size(); ++at) {
      Possibility now = tried[at];
      absorb(now);
      if ((now.done & op.place) != 0) {
        add(after, std::move(now));
        continue;
      }
      for (const Op* other : under_way_) {
        if ((now.done & (other->place | other->not_after)) != 0) continue;
        Rules::next(now.state, *other, next_);
        for (State& state : next_) {
          Possibility next{std::move(state), now.done | other->place};
          if (!is_covered(next, tried, kinds)) tried.push_back(std::move(next));
        }
      }
    }
    widest_ = std::max(widest_, tried.size());
    if (after.empty()) return false;
    possible_ = std::move(after);
    return true;
  }

  /// A call that changes nothing is best done as soon as it can be: nothing becomes impossible by it.
  void absorb(Possibility& possibility) {
    for (const Op* op : under_way_) {
      if (!Rules::only_reads(*op) || (possibility.done & (op->place | op->not_after)) != 0) continue;
      Rules::next(possibility.state, *op, next_);
      if (next_.size() == 1 && next_[0] == possibility.state) possibility.done |= op->place;
    }
  }

  struct Kinds {
    Places reads = 0;       // still to be answered: better done
    Places optional = 0;    // without an answer: better not done, for they need not be
  };
  Kinds kinds_under_way() const {
    Kinds kinds;
    for (const Op* op : under_way_) {
      if (Rules::only_reads(*op)) kinds.reads |= op->place;
      if (!op->answered) kinds.optional |= op->place;
    }
    return kinds;
  }

  /// Whatever is possible after `other` is so after `one`.
  static bool covers(const Possibility& one, const Possibility& other, const Kinds& kinds) {
    return ((one.done ^ other.done) & ~(kinds.reads | kinds.optional)) == 0 &&
           (other.done & ~one.done & kinds.reads) == 0 && (one.done & ~other.done & kinds.optional) == 0 &&
           Rules::covers(one.state, other.state);
  }
  static bool is_covered(const Possibility& one, const std::vector<Possibility>& all, const Kinds& kinds) {
    return std::any_of(all.begin(), all.end(), [&](const Possibility& other) { return covers(other, one, kinds); });
  }

  /// Leaves out what another possibility covers.
  void add(std::vector<Possibility>& all, Possibility&& fresh) const {
    const Kinds kinds = kinds_under_way();
    if (is_covered(fresh, all, kinds)) return;
    std::erase_if(all, [&](const Possibility& one) { return covers(fresh, one, kinds); });
    all.push_back(std::move(fresh));
  }

  std::vector<Possibility> possible_{Possibility{}};
  std::vector<Op*> under_way_;
  std::vector<State> next_;    // kept for its memory
  std::size_t widest_ = 1;
  std::uint32_t failed_ = 0;
};

/// One key.
struct LockRules {
  using State = LockState;
  using Op = Operation<LockCall, LockAnswer>;

  static void begins(Op&, const std::vector<Op*>&) {}

  /// What a token must be above is all that one may know better than the other.
  static bool covers(const State& one, const State& other) {
    return one.grant == other.grant && one.floor <= other.floor;
  }

  static bool only_reads(const Op& op) {
    using Kind = LockCall::Kind;
    using Status = LockAnswer::Status;
    if (!op.answered || op.call.kind == Kind::close || op.call.kind == Kind::death) return false;
    return op.call.kind == Kind::check || op.call.kind == Kind::confirm || op.answer.status > Status::renewed;
  }

  static void next(const State& state, const Op& op, std::vector<State>& after) {
    after.clear();
    if (!op.answered) {
      after = effects(state, op.call, op.when);
    } else if (auto one = apply(state, op.call, op.answer, op.when)) {
      after.push_back(std::move(*one));
    }
  }
};

/// One family.
struct NameRules {
  using State = NamesState;
  using Op = Operation<NamesCall, NamesAnswer>;
  using Kind = NamesCall::Kind;

  /// A name that is being given back at the very moment may be passed over by whoever acquires; so may one that is free
  /// by age to him alone, while somebody else acquires.
  static void begins(Op& op, const std::vector<Op*>& under_way) {
    for (Op* other : under_way) {
      may_pass_over(op, *other);
      may_pass_over(*other, op);
    }
  }

  static bool covers(const State& one, const State& other) { return one == other; }

  static bool only_reads(const Op& op) {
    using Status = NamesAnswer::Status;
    return op.answered && (op.call.kind == Kind::status || op.answer.status != Status::ok);
  }

  static void next(const State& state, const Op& op, std::vector<State>& after) {
    after.clear();
    const auto try_number = [&](Number number) {
      auto one = apply(state, op.call, {op.answer.status, number}, op.when, op.passed_over);
      if (one) after.push_back(std::move(*one));
    };
    if (op.answered || op.call.kind != Kind::acquire) {
      try_number(op.answer.number);
    } else {
      for (Number number = 0; number <= state.names.size(); ++number) try_number(number);
    }
  }

 private:
  static void may_pass_over(Op& acquirer, const Op& other) {
    if (acquirer.call.kind != Kind::acquire) return;
    if (other.call.kind == Kind::release || other.call.kind == Kind::release_loan ||
        other.call.kind == Kind::close_one) {
      acquirer.passed_over.push_back(other.call.number);
    } else if (other.call.kind == Kind::death || other.call.kind == Kind::close || hides_what_is_old(other, acquirer)) {
      for (Number number = 0; number < kNamesMax; ++number) acquirer.passed_over.push_back(number);
    }
  }
  /// It comes by names that are held to it, and free by age to the other.
  static bool hides_what_is_old(const Op& op, const Op& acquirer) {
    return op.call.kind == Kind::acquire && acquirer.call.auto_release_after &&
           op.call.auto_release_after != acquirer.call.auto_release_after;
  }
  static constexpr Number kNamesMax = 64;    // which ones they are is not known here: any
};

}    // namespace keyrack::reference
