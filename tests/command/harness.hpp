// Runs the keyrack command as a process, as a shell would, on a segment of the test's own.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace keyrack::command_test {

using Words = std::vector<std::string>;

/// Polls until it is so; false if it never becomes so. The limit is for a machine that does a hundred other things.
bool eventually(const std::function<bool()>&);

/// A process whose output is caught in memory; killed by the destructor, should it live until then.
class Process {
 public:
  /// `words[0]` is the program. The environment is the test's own, with KEYRACK_URL set so, or unset.
  Process(Words words, const std::optional<std::string>& url);
  Process(Process&&) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process();

  pid_t pid() const { return pid_; }
  std::string out() const;
  std::string err() const;

  /// To its standard input, which is otherwise open and silent.
  void write(const std::string&) const;
  void close_input();

  void signal(int) const;
  bool ended();
  /// Its exit status, 128 and the signal that killed it; fails the test if it does not end.
  int wait();

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
  std::optional<int> status_;
};

/// What a process that has ended leaves.
struct Ended {
  int status = -1;
  std::string out, err;
};

/// A segment of its own for each test, removed in the end, and the commands that work on it.
class CommandTest : public testing::Test {
 public:
  ~CommandTest() override;

 protected:
  CommandTest();

  const std::string& segment() const { return segment_; }
  std::string url(const std::string& options = "") const { return "shm://" + segment_ + options; }

  /// `keyrack WORDS` with KEYRACK_URL at the segment.
  Process start(Words words) const;
  Ended keyrack(Words words) const;
  nlohmann::json keyrack_json(Words words) const;

  /// The token of a lock that is held by that signee; nothing if it is not.
  std::optional<std::uint64_t> token_of(const std::string& key, const std::string& signee) const;

 private:
  std::string segment_;
};

/// Is it one line that begins as every error does?
testing::AssertionResult is_one_error_line(const std::string& text);

bool contains(const std::string& text, const std::string& part);

}    // namespace keyrack::command_test
