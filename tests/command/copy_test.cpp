// --file: a copied segment is looked at as it was then.
#include "harness.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace keyrack::command_test {
namespace {

using nlohmann::json;

// Where they are in the header, which another layout version would have elsewhere.
constexpr std::streamoff kLayoutVersion = 8, kBootId = 48, kEpoch = 64, kCreated = 72, kClockOffset = 88;

class CopyOfASegment : public CommandTest {
 protected:
  void SetUp() override {
    image_ = std::filesystem::temp_directory_path() / (segment() + ".image");
    ASSERT_EQ(keyrack({"create", "--url", url("?slots=64&sessions=8")}).status, 0);
  }
  void TearDown() override { std::filesystem::remove(image_); }

  const std::string& image() const { return image_.native(); }
  void copy() { std::filesystem::copy_file("/dev/shm/" + segment(), image_); }

  /// Writes a number of so many bytes.
  template <class Number>
  void overwrite(std::streamoff at, Number number) const {
    std::fstream file(image_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.write(reinterpret_cast<const char*>(&number), sizeof number);
    ASSERT_TRUE(file.flush());
  }

  template <class Number>
  Number read(std::streamoff at) const {
    Number number{};
    std::ifstream file(image_, std::ios::binary);
    file.seekg(at);
    file.read(reinterpret_cast<char*>(&number), sizeof number);
    return number;
  }

  /// `keyrack WORDS` where there is no segment at all.
  Ended elsewhere(Words words) const {
    words.insert(words.end(), {"--file", image(), "--url", url("-none")});
    return keyrack(std::move(words));
  }
  void expect_refusal(const std::string& reason) const {
    for (const std::string command : {"dump", "stats", "verify", "waits"}) {
      const Ended ended = elsewhere({command});
      EXPECT_EQ(ended.status, 3) << command << ended.out;
      EXPECT_TRUE(is_one_error_line(ended.err)) << ended.err;
      EXPECT_TRUE(contains(ended.err, image()) && contains(ended.err, reason)) << ended.err;
    }
  }

 private:
  std::filesystem::path image_;
};

TEST_F(CopyOfASegment, IsAsTheSegmentWasWhenItWasCopied) {
  ASSERT_EQ(keyrack({"lock", "leased", "--signee", "anna", "--duration", "1h"}).status, 0);
  ASSERT_EQ(keyrack({"acquire", "stack"}).status, 0);
  Process holder = start({"run", "bound", "--signee", "bert", "--", "sh", "-c", "echo ready; exec cat"});
  ASSERT_TRUE(eventually([&] { return holder.out() == "ready\n"; })) << holder.err();
  Process waiter = start({"lock", "bound", "--signee", "carl", "--wait", "1h"});
  ASSERT_TRUE(eventually([&] { return keyrack_json({"dump"}).at("waiters").size() == 1; })) << waiter.err();
  copy();
  const json before = keyrack_json({"dump"});
  waiter.signal(SIGKILL);
  holder.signal(SIGKILL);
  EXPECT_EQ(waiter.wait() + holder.wait(), 2 * (128 + SIGKILL));
  ASSERT_EQ(keyrack({"rm", segment()}).status, 0);

  const Ended dump = elsewhere({"dump", "--format", "json"});
  ASSERT_EQ(dump.status, 0) << dump.err;
  json after = json::parse(dump.out);
  EXPECT_EQ(after.at("segment").at("name"), image());
  ASSERT_EQ(after.at("locks").size(), 2);
  for (std::size_t i = 0; i < 2; ++i) {
    for (const std::string member : {"signature", "signee", "state", "token", "pid", "waiters"}) {
      EXPECT_EQ(after.at("locks").at(i).at(member), before.at("locks").at(i).at(member)) << member;
    }
  }
  EXPECT_EQ(after.at("names"), before.at("names"));
  EXPECT_EQ(after.at("sessions"), before.at("sessions")) << "who was alive then";
  EXPECT_EQ(after.at("counters"), before.at("counters"));

  // Hours later nothing has grown older.
  const auto written = std::filesystem::last_write_time(image());
  const json then = json::parse(elsewhere({"dump", "--format", "json"}).out);
  EXPECT_EQ(then, after);
  std::filesystem::last_write_time(image(), written + std::chrono::hours(2));
  const json later = json::parse(elsewhere({"dump", "--format", "json"}).out);
  const auto leased = [](const json& picture) {
    const auto& locks = picture.at("locks");
    return *std::find_if(locks.begin(), locks.end(), [](const json& lock) { return lock.at("signature") == "leased"; });
  };
  EXPECT_EQ(leased(after).at("state"), "held");
  EXPECT_EQ(leased(later).at("state"), "stale") << "if it was copied two hours later";
  EXPECT_EQ(leased(later).at("held_for_ms").get<std::int64_t>(),
            leased(after).at("held_for_ms").get<std::int64_t>() + 7'200'000);
  // A copy that has kept the time of the segment's own file: no earlier than what is in it.
  std::filesystem::last_write_time(image(), written - std::chrono::hours(24 * 365));
  EXPECT_EQ(leased(json::parse(elsewhere({"dump", "--format", "json"}).out)).at("state"), "held");

  const Ended table = elsewhere({"dump"});
  EXPECT_TRUE(contains(table.out, "\na copy: times and who was alive are as of 20")) << table.out;
  const Ended waits = elsewhere({"waits"});
  EXPECT_TRUE(contains(waits.out, "bound: held by bert for ")) << waits.out;
  EXPECT_TRUE(contains(waits.out, "pid " + std::to_string(holder.pid()) + ": keyrack\n")) << "no command line of now";
  EXPECT_EQ(elsewhere({"verify"}).status, 0);
  EXPECT_EQ(elsewhere({"stats"}).status, 0);
}

TEST_F(CopyOfASegment, OfAnotherBootAndClockIsRead) {
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "anna"}).status, 0);
  copy();
  overwrite(kBootId, std::uint64_t{0x1234});
  overwrite(kClockOffset, std::int64_t{5'000'000'000});
  const Ended dump = elsewhere({"dump"});
  EXPECT_EQ(dump.status, 0) << dump.err;
  EXPECT_TRUE(contains(dump.out, "anna"));
}

TEST_F(CopyOfASegment, HasTimesOfItsOwn) {
  ASSERT_EQ(keyrack({"acquire", "stack"}).status, 0);
  const auto updated_at = [](const json& picture) {
    return picture.at("names").at(0).at("updated_at").get<std::string>();
  };
  const std::string here = updated_at(keyrack_json({"dump"}));
  copy();
  const std::chrono::hours day(24);    // the wall clock of its host was so far ahead
  overwrite(kCreated, read<std::int64_t>(kCreated) + std::chrono::nanoseconds(day).count());
  std::filesystem::last_write_time(image(), std::filesystem::last_write_time("/dev/shm/" + segment()) + day);
  const std::string there = updated_at(json::parse(elsewhere({"dump", "--format", "json"}).out));
  EXPECT_GT(there.substr(0, 10), here.substr(0, 10));
  EXPECT_EQ(there.substr(10), here.substr(10));
}

TEST_F(CopyOfASegment, WhatCannotBeReadIsRefused) {
  expect_refusal("No such file");
  std::filesystem::create_directory(image());
  expect_refusal("is no copy of a finished segment");
  std::filesystem::remove(image());
  std::ofstream(image()) << "something else, and long enough to have a header " << std::string(4096, '.');
  expect_refusal("is no copy of a finished segment");
  std::filesystem::remove(image());

  copy();
  overwrite(kLayoutVersion, std::uint32_t{77});
  expect_refusal("has layout version 77, this build has 1");
  std::filesystem::remove(image());
  copy();
  std::filesystem::resize_file(image(), std::filesystem::file_size(image()) / 2);
  expect_refusal(" bytes of ");
  std::filesystem::remove(image());
  copy();
  overwrite(kEpoch, std::int64_t{-1} << 62);
  expect_refusal("makes no sense");
}

TEST_F(CopyOfASegment, ThatIsBrokenIsToldSo) {
  for (int i = 0; i < 20; ++i) ASSERT_EQ(keyrack({"lock", std::to_string(i), "--signee", "anna"}).status, 0);
  copy();
  const auto size = std::filesystem::file_size(image());
  for (auto at = size / 2; at + 8 <= size; at += 8) overwrite(static_cast<std::streamoff>(at), ~std::uint64_t{0});
  const Ended verify = elsewhere({"verify"});
  EXPECT_EQ(verify.status, 3);
  EXPECT_NE(verify.out, "");
  EXPECT_TRUE(contains(verify.err, "it may be the copy")) << verify.err;
  for (const std::string command : {"dump", "stats", "waits"}) {
    const int status = elsewhere({command}).status;
    EXPECT_TRUE(status == 0 || status == 3) << command << " ends with " << status;
  }
}

}    // namespace
}    // namespace keyrack::command_test
