// The manual says what the command does: a page of each command, with all its options and no others.
#include "harness.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

namespace keyrack::command_test {
namespace {

using Texts = std::set<std::string>;

/// What the first group of a pattern matches in a text.
Texts all_of(const std::string& text, const char* pattern) {
  const std::regex regex(pattern);
  Texts found;
  for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match) {
    found.insert((*match)[1].str());
  }
  return found;
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string page(const std::string& name) { return text_of(std::filesystem::path(KEYRACK_MANUAL) / (name + ".1.scd")); }

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const std::size_t at = text.find(begin);
  return at == text.npos ? "" : text.substr(at, text.find(end, at) - at);
}

class Manual : public CommandTest {
 protected:
  std::string help(Words command) {
    command.emplace_back("--help");
    const Ended ended = keyrack(command);
    EXPECT_EQ(ended.status, 0);
    return ended.out;
  }
  Texts commands() {
    const std::string text = help({});
    return all_of(text.substr(text.find("\nSubcommands:")), "\n  ([a-z-]+) ");
  }
};

TEST_F(Manual, HasAPageOfEachCommandAndNoOthers) {
  Texts pages{"keyrack"};
  for (const std::string& command : commands()) pages.insert("keyrack-" + command);
  ASSERT_GT(pages.size(), 10u);
  Texts found;
  for (const auto& entry : std::filesystem::directory_iterator(KEYRACK_MANUAL)) {
    if (entry.path().extension() == ".scd") found.insert(entry.path().stem().stem().string());
  }
  EXPECT_EQ(found, pages);
}

TEST_F(Manual, NamesEachCommandInItsFirstPage) {
  for (const std::string& command : commands()) {
    EXPECT_TRUE(contains(page("keyrack"), "*keyrack-" + command + "*(1)")) << command;
  }
}

TEST_F(Manual, TellsOfEachOptionAndOfNoOthers) {
  for (const std::string& command : commands()) {
    Texts options = all_of(help({command}), "\n  (?:-[a-z],)?(--[a-z-]+)");
    options.insert("--url");    // of all commands
    EXPECT_EQ(all_of(page("keyrack-" + command), "\n\\*(?:-[a-z]\\*, \\*)?(--[a-z-]+)\\*"), options) << command;
  }
}

TEST_F(Manual, TellsWhichCommandsAreAboutSegments) {
  Texts refused;
  for (const std::string& command : commands()) {
    for (const Words& words : {Words{command}, Words{command, segment()}}) {
      Words elsewhere = {"--url", "other://x"};
      elsewhere.insert(elsewhere.end(), words.begin(), words.end());
      if (contains(keyrack(elsewhere).err, command + " works on shm:// only")) refused.insert(command);
    }
  }
  EXPECT_EQ(all_of(between(page("keyrack"), "Commands that are about segments (", ")"), "\\*([a-z-]+)\\*"), refused);
  const std::string readme = text_of(std::filesystem::path(KEYRACK_MANUAL) / "../../README.md");
  EXPECT_EQ(all_of(between(readme, "\n| `dump`, ", " | work | refused"), "`([a-z-]+)`"), refused);
}

TEST_F(Manual, TellsOfEachChoice) {
  for (const std::string& command : commands()) {
    for (const std::string& choices : all_of(help({command}), "TEXT:\\{([^}]+)\\}")) {
      for (const std::string& choice : all_of(choices, "([a-z]+)")) {
        EXPECT_TRUE(contains(page("keyrack-" + command), "_" + choice + "_")) << command << ": " << choice;
      }
    }
  }
}

}    // namespace
}    // namespace keyrack::command_test
