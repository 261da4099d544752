// Every call there is, as a scenario in which something may fail.
#pragma once

#include "stage.hpp"

#include <keyrack/testing/child.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace keyrack::tests {

/// What is there before the process that makes the call is forked: it inherits the services.
struct Surroundings {
  std::unique_ptr<LockService> locks;
  std::unique_ptr<NameManager> names;
  std::vector<testing::Child> others;
};

struct Scenario {
  std::string name;
  std::function<void(const ScratchSegment&, Surroundings&)> before;    // may be empty
  std::function<void(Stage&, Surroundings&)> play;
  bool allocations = true;    // false: what throws is caught by somebody else than the library
};

const std::vector<Scenario>& scenarios();

}    // namespace keyrack::tests
