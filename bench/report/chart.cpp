#include "chart.hpp"

#include "rounds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace keyrack::bench {

namespace {

constexpr double kWidth = 860;

/// One colour for each line; the first two are keyrack's. A picture follows the scheme of the reader's browser.
constexpr const char* kStyle = R"(<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.dim { fill: #59636e }
.paper { fill: #ffffff }
.grid { stroke: #d1d9e0 }
.own { fill: #0969da }
.other { fill: #9198a1 }
.line { fill: none; stroke-width: 2 }
.c0 { color: #0969da } .c1 { color: #1a7f37 } .c2 { color: #bc4c00 } .c3 { color: #8250df }
.c4 { color: #59636e } .c5 { color: #9a6700 } .c6 { color: #bf3989 } .c7 { color: #1b7c83 }
.line { stroke: currentColor } .dot { fill: currentColor }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.dim { fill: #9198a1 }
.paper { fill: #0d1117 }
.grid { stroke: #3d444d }
.own { fill: #4493f8 }
.other { fill: #656c76 }
.c0 { color: #4493f8 } .c1 { color: #3fb950 } .c2 { color: #f0883e } .c3 { color: #ab7df8 }
.c4 { color: #9198a1 } .c5 { color: #d29922 } .c6 { color: #f778ba } .c7 { color: #39c5cf }
}
</style>
)";
constexpr std::size_t kOwnColours = 2, kColours = 8;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string text(double x, double y, const std::string& content, const char* anchor = "start", const char* style = "") {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>)"
                     "\n",
                     x, y, anchor, style, escaped(content));
}

std::string grid_line(double x1, double y1, double x2, double y2) {
  return fmt::format(R"(<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)"
                     "\n",
                     x1, y1, x2, y2);
}

std::string page(double height, const std::string& title, const std::string& subtitle, const std::string& content) {
  return fmt::format(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" )"
                     R"(role="img" aria-label="{2}">)"
                     "\n{3}"
                     R"(<rect class="paper" width="100%" height="100%"/>)"
                     "\n",
                     kWidth, height, escaped(title), kStyle) +
         text(16, 28, title, "start", "title") + text(16, 48, subtitle, "start", "dim") + content + "</svg>\n";
}

/// A logarithmic axis from one round number to another, both beyond what is on it.
class Scale {
 public:
  Scale(double least, double greatest, double from, double to) : from_(from), to_(to) {
    if (!(least > 0)) throw std::runtime_error("a logarithmic axis has room for positive values only");
    const double decades = std::log10(greatest / least);
    const std::vector<double> steps = decades > 2.5 ? std::vector<double>{1} : std::vector<double>{1, 2, 5};
    for (double decade = std::pow(10, std::floor(std::log10(least))); marks_.empty() || marks_.back() < greatest;
         decade *= 10) {
      for (const double step : steps) {
        const double mark = step * decade;
        if (!marks_.empty() && marks_.back() >= greatest) break;
        if (mark <= least) marks_.clear();
        marks_.push_back(mark);
      }
    }
  }

  const std::vector<double>& marks() const { return marks_; }
  double at(double value) const {
    const double share = std::log(value / marks_.front()) / std::log(marks_.back() / marks_.front());
    return from_ + share * (to_ - from_);
  }

 private:
  double from_, to_;
  std::vector<double> marks_;
};

struct Extent {
  double least = INFINITY, greatest = 0;
  void add(double value) {
    least = std::min(least, value);
    greatest = std::max(greatest, value);
  }
};

}    // namespace

std::string written(double value, Axis axis) {
  if (axis == Axis::plain)
    return number(value).find_first_of('.') == std::string::npos ? number(value) : fmt::format("{:g}", value);
  for (const auto& [unit, size] : {std::pair("s", 1e9), std::pair("ms", 1e6), std::pair("µs", 1e3)}) {
    if (value >= size * 0.9995) return fmt::format("{:.3g} {}", value / size, unit);
  }
  return fmt::format("{:.3g} ns", value);
}

std::string svg(const BarChart& chart) {
  constexpr double top = 66, step = 24, left = 280, right = kWidth - 90;
  const double bottom = top + step * static_cast<double>(chart.bars.size());
  Extent extent;
  for (const auto& bar : chart.bars) extent.add(bar.value);
  const Scale scale(extent.least * 0.7, extent.greatest, left, right);
  std::string content;
  for (const double mark : scale.marks()) {
    content += grid_line(scale.at(mark), top, scale.at(mark), bottom);
    content += text(scale.at(mark), bottom + 18, written(mark, chart.axis), "middle", "dim");
  }
  double y = top;
  for (const auto& [name, value, own] : chart.bars) {
    content += text(left - 8, y + 16, name, "end");
    content += fmt::format(R"(<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)"
                           "\n",
                           own ? "own" : "other", left, y + 4, scale.at(value) - left, step - 8);
    content += text(scale.at(value) + 6, y + 16, written(value, chart.axis));
    y += step;
  }
  return page(bottom + 34, chart.title, chart.subtitle, content);
}

std::string svg(const LineChart& chart) {
  constexpr double top = 70, bottom = 350, left = 70, right = kWidth - 250;
  Extent extent;
  for (const auto& series : chart.series) {
    for (const auto& value : series.values) {
      if (value) extent.add(*value);
    }
  }
  const Scale scale(extent.least, extent.greatest, bottom, top);
  std::string content;
  for (const double mark : scale.marks()) {
    content += grid_line(left, scale.at(mark), right, scale.at(mark));
    content += text(left - 8, scale.at(mark) + 4, written(mark, chart.axis), "end", "dim");
  }
  const auto x_of = [&](std::size_t step) {
    return left + 20 +
           (right - left - 40) * static_cast<double>(step) /
               static_cast<double>(std::max<std::size_t>(chart.steps.size() - 1, 1));
  };
  for (std::size_t step = 0; step < chart.steps.size(); ++step) {
    content += text(x_of(step), bottom + 20, chart.steps[step], "middle", "dim");
  }
  content += text((left + right) / 2, bottom + 44, chart.x_title, "middle", "dim");

  std::size_t own = 0, other = kOwnColours, row = 0;
  for (const auto& series : chart.series) {
    const std::size_t colour = series.own ? own++ % kOwnColours : other++ % kColours;
    std::string path, dots;
    for (std::size_t step = 0; step < series.values.size(); ++step) {
      if (!series.values[step]) continue;
      const double x = x_of(step), y = scale.at(*series.values[step]);
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "M" : " L", x, y);
      dots += fmt::format(R"(<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"/>)", x, y);
    }
    const double y = top + 10 + 22 * static_cast<double>(row++);
    content += fmt::format(R"(<g class="c{}"><path class="line" d="{}"{}/>{})", colour, path,
                           series.own ? "" : R"( stroke-dasharray="6 3")", dots);
    content += fmt::format(R"(<path class="line" d="M{:.1f},{:.1f} h24"{}/></g>)"
                           "\n",
                           right + 16, y, series.own ? "" : R"( stroke-dasharray="6 3")");
    content += text(right + 48, y + 4, series.name);
  }
  return page(bottom + 64, chart.title, chart.subtitle, content);
}

}    // namespace keyrack::bench
