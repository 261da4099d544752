// A process that makes one call after the other on real services, as it is told, and answers in the terms of the
// reference rules.
#pragma once

#include "reference/sequential_model.hpp"

#include <keyrack/testing/child.hpp>

#include <array>
#include <cstdint>

#include <sys/types.h>

namespace keyrack::tests {

using keyrack::testing::Child;

struct Order {
  enum class Kind : std::uint8_t {
    open,    // the services on a segment; what was open is closed before
    locks,
    names,
  };
  /// Who makes the call: the worker, or a child that it forks for it, and that then ends in one way or another.
  enum class By : std::uint8_t { itself, child_that_exits, child_that_closes, child_that_is_killed };

  Kind kind = Kind::open;
  By by = By::itself;
  std::array<char, 128> query = {};    // open: what follows "shm://"
  std::array<char, 16> key = {};       // a signature or a family
  reference::LockCall lock = {};
  reference::NamesCall name = {};
};

struct Reply {
  reference::Interval when = {};       // of the call
  pid_t pid = 0;                       // of who made it
  std::array<char, 128> wrong = {};    // an answer that cannot be told in the terms of the rules
  reference::LockAnswer lock = {};
  reference::NamesAnswer name = {};
  std::array<reference::NamesAnswer::Status, 64> listed = {};    // list: of one family, by number
};

/// The worker's life: until its parent lets go of it.
[[noreturn]] void serve(const Child::Link& parent);

Reply ask(const Child& worker, const Order& order);

}    // namespace keyrack::tests
