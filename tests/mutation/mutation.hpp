// All mutants are in one build. This is included before every source; KEYRACK_MUTANT says which one of them lives.
#pragma once

#include <cstdlib>

namespace mutation {

inline const int living = [] {
  const char* id = std::getenv("KEYRACK_MUTANT");
  return id == nullptr ? 0 : std::atoi(id);
}();

inline bool is(int id) { return id == living; }

template <class T>
T either(int id, T mutated, T original) {
  return is(id) ? mutated : original;
}
inline bool yes(int id, bool value) { return is(id) || value; }
inline bool no(int id, bool value) { return !is(id) && value; }

/// Both words of a cell, whatever they are.
template <class Hit, class Head, class Owner>
bool replace_blindly(Hit hit, Head head, Owner owner) {
  do {
    hit.head.bits = hit.record->cell.first.load();
    hit.owner.bits = hit.record->cell.second.load();
  } while (!hit.replace(head, owner));
  return true;
}

/// Stands between the two sides of a comparison: `a < Compare{…} > b` for `a < b`, `a == Compare{…} == b` for `a == b`.
enum class Relation { less, at_most, more, at_least, equal, different };
struct Compare {
  Relation relation;
  int negated, next;    // `next`: whether equal ones count is the other way round
};

template <class A>
struct LeftSide {
  const A& a;
  Compare how;

  template <class B>
  bool with(const B& b) const {
    return holds(b) != is(how.negated);
  }

 private:
  template <class B>
  bool holds(const B& b) const {
    const bool other = is(how.next);
    if (how.relation == Relation::equal) return a == b;
    if (how.relation == Relation::different) return a != b;
    if constexpr (requires { a < b; }) {
      if (how.relation == Relation::less) return other ? a <= b : a < b;
      if (how.relation == Relation::at_most) return other ? a < b : a <= b;
      if (how.relation == Relation::more) return other ? a >= b : a > b;
      return other ? a > b : a >= b;
    }
    return false;
  }
};

template <class A>
LeftSide<A> operator<(const A& a, Compare how) {
  return {a, how};
}
template <class A>
LeftSide<A> operator==(const A& a, Compare how) {
  return {a, how};
}
template <class A, class B>
bool operator>(const LeftSide<A>& left, const B& b) {
  return left.with(b);
}
template <class A, class B>
bool operator==(const LeftSide<A>& left, const B& b) {
  return left.with(b);
}

}    // namespace mutation
