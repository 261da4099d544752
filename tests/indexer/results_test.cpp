// The shared results of the indexer: belated writers are refused, and a writer killed at any instant loses nothing.
#include "results.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

namespace indexer {
namespace {

namespace fs = std::filesystem;

class ResultsTest : public testing::Test {
 protected:
  static constexpr std::size_t kFiles = 16;

  ResultsTest() {
    std::string name = (fs::temp_directory_path() / "keyrack-results-test.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
    folder_ = name;
    Results::create(path(), kFiles);
  }
  ~ResultsTest() override { fs::remove_all(folder_); }

  fs::path path() const { return folder_ / "results"; }

 private:
  fs::path folder_;
};

TEST_F(ResultsTest, AddsUpAndIsSeenByAll) {
  Results writer(path()), reader(path());
  EXPECT_EQ(reader.files(), kFiles);
  EXPECT_EQ(reader.files_done(), 0u);
  writer.add(1, 3, {.words = 10, .lines = 2, .bytes = 60});
  writer.add(2, 5, {.words = 1, .lines = 1, .bytes = 6});
  EXPECT_EQ(reader.files_done(), 2u);
  EXPECT_TRUE(reader.done(3));
  EXPECT_FALSE(reader.done(4));
  EXPECT_EQ(reader.counts(3), (Counts{.words = 10, .lines = 2, .bytes = 60}));
  EXPECT_EQ(reader.total(), (Counts{.words = 11, .lines = 3, .bytes = 66}));
  EXPECT_EQ(reader.repair(3), std::nullopt);
}

TEST_F(ResultsTest, CountsHowOftenAFileWasCounted) {
  Results results(path());
  results.add(1, 3, {.words = 10, .lines = 2, .bytes = 60});
  results.add(2, 3, {.words = 10, .lines = 2, .bytes = 60});
  EXPECT_EQ(results.times_counted(3), 2u);
  EXPECT_EQ(results.total().words, 20u);
}

TEST_F(ResultsTest, RefusesAWriterThatHasLostTheMutex) {
  Results results(path());
  results.add(7, 0, {.words = 1, .lines = 1, .bytes = 1});
  EXPECT_THROW(results.add(6, 1, {.words = 1, .lines = 1, .bytes = 1}), std::runtime_error);
  EXPECT_THROW(results.repair(6), std::runtime_error);
  EXPECT_FALSE(results.done(1));
  EXPECT_EQ(results.total().words, 1u);
  results.add(7, 1, {.words = 1, .lines = 1, .bytes = 1});    // the same grant may write again
  EXPECT_TRUE(results.done(1));
}

// A child adds one instruction at a time. After each of them the file is what a death would leave: a copy of it is
// repaired and must then hold the whole update or nothing of it.
TEST_F(ResultsTest, IsWholeAfterTheWritersDeathAtAnyInstruction) {
  const Counts counts{.words = 10, .lines = 2, .bytes = 60};
  const fs::path copy = path().string() + ".copy";
  Results results(path());
  results.add(1, 0, counts);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    results.add(2, 1, counts);
    _exit(0);
  }

  std::size_t nothing = 0, repaired = 0, whole = 0;
  int status = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    fs::copy_file(path(), copy, fs::copy_options::overwrite_existing);
    Results survivor(copy);
    const bool had_to_repair = survivor.repair(3).has_value();
    ASSERT_LE(survivor.times_counted(1), 1u);
    ++(survivor.done(1) ? had_to_repair ? repaired : whole : nothing);
    Counts sum = counts;
    if (survivor.done(1)) sum += counts;
    ASSERT_EQ(survivor.counts(1), survivor.done(1) ? counts : Counts{});
    ASSERT_EQ(survivor.total(), sum);
    ASSERT_EQ(ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr), 0);
  }
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_GT(nothing, 0u);
  EXPECT_GT(repaired, 0u);
  EXPECT_GT(whole, 0u);
}

}    // namespace
}    // namespace indexer
