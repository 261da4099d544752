// OpenMetrics as a strict parser reads it, and the examples of what is made of it.
#include "harness.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <string>

namespace keyrack::command_test {
namespace {

using nlohmann::json;
using Types = std::map<std::string, std::string>;    // of the samples, by their names

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Metrics : public CommandTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(keyrack({"create", "--url", url("?slots=64&sessions=8")}).status, 0);
    ASSERT_EQ(keyrack({"lock", "a", "--signee", "anna"}).status, 0);
    folder_ = std::filesystem::temp_directory_path() / segment();
    std::filesystem::create_directory(folder_);
    has_parser_ = parse("openmetrics", "# EOF\n").status != 77;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Ended parse(const std::string& format, const std::string& text) const {
    Process parser({KEYRACK_PYTHON, KEYRACK_COMMAND_TESTS "/metrics.py", format}, url());
    parser.write(text);
    parser.close_input();
    const int status = parser.wait();
    return {status, parser.out(), parser.err()};
  }
  Types types(const std::string& format, const std::string& text) const {
    const Ended parsed = parse(format, text);
    EXPECT_EQ(parsed.status, 0) << text << parsed.err;
    return parsed.status == 0 ? json::parse(parsed.out).get<Types>() : Types{};
  }
  Ended textfile(const std::string& of) const {
    const std::string path = std::filesystem::path(KEYRACK_COMMAND).parent_path().string() + ":/usr/bin:/bin";
    Process process({"env", "PATH=" + path, KEYRACK_MONITORING "/keyrack-textfile", folder_, of}, url());
    const int status = process.wait();
    return {status, process.out(), process.err()};
  }

  std::filesystem::path folder_;
  bool has_parser_ = false;
};

TEST_F(Metrics, AreReadByAStrictParser) {
  if (!has_parser_) GTEST_SKIP() << "Python has no prometheus_client";
  const std::string text = keyrack({"dump", "--format", "openmetrics"}).out;
  const Types found = types("openmetrics", text);
  EXPECT_EQ(found.at("keyrack_slots"), "gauge");
  EXPECT_EQ(found.at("keyrack_locks"), "gauge");
  EXPECT_EQ(found.at("keyrack_inserts_total"), "counter");
  EXPECT_EQ(found.at("keyrack_waiting_seconds_bucket"), "histogram");

  // It must see what is not as it should be.
  const auto without = [&](const std::string& part, const std::string& other) {
    return std::regex_replace(text, std::regex(part), other, std::regex_constants::format_first_only);
  };
  EXPECT_NE(parse("openmetrics", without("# EOF\n", "")).status, 0);
  EXPECT_NE(parse("openmetrics", without("_inserts_total", "_inserts")).status, 0);
  EXPECT_NE(parse("openmetrics", without("counter", "counting")).status, 0);
  EXPECT_NE(parse("openmetrics", text + text).status, 0);
}

TEST_F(Metrics, ForTheTextfileCollectorAreInTheOlderFormat) {
  const Ended written = textfile(segment());
  ASSERT_EQ(written.status, 0) << written.err;
  const std::filesystem::path file = folder_ / ("keyrack-" + segment() + ".prom");
  const std::string text = text_of(file);
  EXPECT_TRUE(contains(text, "\nkeyrack_locks{segment=\"" + segment() + "\",state=\"held\"} 1\n")) << text;
  if (has_parser_) {
    for (const auto& [name, type] : types("classic", text)) {
      EXPECT_EQ(type, contains(name, "_seconds_") ? "histogram"
                      : name.ends_with("_total")  ? "counter"
                                                  : "gauge")
          << name;
    }
  }
  // Prometheus's own checker, which reads this format only.
  const std::string check = "command -v promtool >/dev/null || { cat >/dev/null; exit 77; }; promtool check metrics";
  Process promtool({"sh", "-c", check}, url());
  promtool.write(text);
  promtool.close_input();
  const int checked = promtool.wait();
  EXPECT_TRUE(checked == 0 || checked == 77) << promtool.out() << promtool.err();

  ASSERT_EQ(keyrack({"rm", segment()}).status, 0);
  const Ended gone = textfile(segment());
  EXPECT_EQ(gone.status, 3);
  EXPECT_TRUE(is_one_error_line(gone.err)) << gone.err;
  EXPECT_EQ(text_of(file), text) << "the last that was whole";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "nothing is left half written";
}

TEST_F(Metrics, OfTheDashboardAreThere) {
  const std::string text = "\n" + keyrack({"dump", "--format", "openmetrics"}).out;
  const std::string dashboard = text_of(KEYRACK_MONITORING "/dashboard.json");
  ASSERT_TRUE(json::accept(dashboard));
  const std::regex name("keyrack_[a-z_]+");
  int names = 0;
  for (std::sregex_iterator at(dashboard.begin(), dashboard.end(), name), end; at != end; ++at, ++names) {
    EXPECT_TRUE(contains(text, "\n" + at->str() + "{")) << at->str();
  }
  EXPECT_GT(names, 15);
}

}    // namespace
}    // namespace keyrack::command_test
