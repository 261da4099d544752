// What a random sequence is made of. Small numbers only, so that a sequence that fails can be shrunk to a short and
// simple one; the world makes calls of them.
#pragma once

#include <rapidcheck.h>

#include <iosfwd>
#include <string_view>

namespace keyrack::tests {

enum class Act {
  lock,
  wait,
  unlock,
  check,
  confirm,
  acquire,
  try_acquire,
  keep_alive,
  release,
  release_loan,
  status,
  list,
  reset,
  close,    // the services, and opens them again
  kill,     // the worker, and starts another
  pass,     // sets the clock forward
};

struct Step {
  Act act = Act::lock;
  int worker = 0;
  int key = 0;    // or family
  int signee = 0;
  int level = 0;
  int force = 0;       // 0: with force
  int bound = 0;       // 1: bound to the process
  int duration = 0;    // an index, as the next
  int time_to_live = 0;
  int number = 0;    // of a name, a loan, a token; how far the clock goes
  int by = 0;        // 1 and up: by a child that is forked for it

  friend std::ostream& operator<<(std::ostream&, const Step&);
};

/// A whole test: a segment's size and what happens in it.
struct Story {
  int roomy = 0;    // 1: more slots than keys; else fewer, and records are taken from one key for another
  int aging = 0;    // 1: names are free again when they are not kept alive
  std::vector<Step> steps = {};

  friend std::ostream& operator<<(std::ostream&, const Story&);
};

rc::Gen<Story> any_story();

}    // namespace keyrack::tests
