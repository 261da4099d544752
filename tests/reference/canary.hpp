// What commands that look for faults have in common: with --expect-faults they succeed only if they find one.
#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>

namespace keyrack::tests {

struct Expectation {
  bool faults = false;

  void add_to(CLI::App& app) {
    app.add_flag("--expect-faults", faults, "the other way round: for a library that is broken on purpose");
  }
  int exit_code(std::size_t found) const { return (found > 0) == faults ? 0 : 1; }
};

}    // namespace keyrack::tests
