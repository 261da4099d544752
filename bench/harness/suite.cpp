#include "harness/suite.hpp"

namespace keyrack::bench {

namespace {
bool failed = false;
}

Scale& scale() {
  static Scale the_scale;
  return the_scale;
}

bool any_failed() { return failed; }

void report_failure(benchmark::State& state, const std::string& why) {
  failed = true;
  state.SkipWithError(why.c_str());
}

}    // namespace keyrack::bench
