// The rows of the table: what is compared with what, and what it must reach.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace keyrack::bench {

/// One number of one case: its time in ns, or one of its counters.
struct Measure {
  std::string benchmark;
  std::string field = "ns";
};

enum class Form {
  time_ratio,     // value / base
  speed_ratio,    // base / value, of times
  amount,         // the value itself, in `unit`
};

struct Row {
  std::string title;
  Form form;
  Measure value;
  Measure base = {};    // of a ratio
  enum { at_most, at_least, none } bound = none;
  double limit = 0;
  std::string unit = "×";
  double scale = 1;    // the value in its own unit for one `unit`
};

const std::vector<Row>& rows();

}    // namespace keyrack::bench
