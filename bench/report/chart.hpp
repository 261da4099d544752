// Charts as SVG, for light and for dark pages: bars and lines over a logarithmic axis.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace keyrack::bench {

enum class Axis { ns, plain };    // how the values are written: "20 µs", or as they are

struct BarChart {
  struct Bar {
    std::string name;
    double value;
    bool own;    // keyrack's own stand out
  };
  std::string title, subtitle;
  Axis axis;
  std::vector<Bar> bars;
};

struct LineChart {
  struct Series {
    std::string name;
    std::vector<std::optional<double>> values;    // one for each of the steps
    bool own;
  };
  std::string title, subtitle;
  Axis axis;
  std::string x_title;
  std::vector<std::string> steps;    // side by side at equal distances
  std::vector<Series> series;
};

std::string svg(const BarChart&);
std::string svg(const LineChart&);

/// A value as an axis has it.
std::string written(double value, Axis);

}    // namespace keyrack::bench
