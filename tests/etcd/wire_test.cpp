// What answers of etcd mean, of whatever version.
#include "etcd/wire.hpp"

#include <gtest/gtest.h>

namespace keyrack::etcd {
namespace {

TEST(EtcdWire, UnderstandsErrorsOfAllVersions) {
  for (const char* body : {
           R"({"error":"lease not found","code":5,"message":"lease not found"})",
           R"({"code":5,"message":"lease not found"})",    // from 3.6 on
           R"({"code":5,"message":"lease not found","details":[]})",
           R"({"error":{"grpc_code":5,"http_code":404,"message":"lease not found"}})",
           R"({"error":{"code":5,"message":"lease not found"}})",
       }) {
    const auto error = parse_error(body);
    ASSERT_TRUE(error) << body;
    EXPECT_EQ(error->code, 5) << body;
    EXPECT_EQ(error->message, "lease not found") << body;
  }
  for (const char* body : {"", "no JSON", "[]", "7", R"({"header":{}})", "<html>"}) {
    EXPECT_FALSE(parse_error(body)) << body;
  }
}

TEST(EtcdWire, AWatchTellsOfChangesAndOfItsEnd) {
  EXPECT_FALSE(tells_of_change(R"({"result":{"header":{},"created":true}})"));
  EXPECT_FALSE(tells_of_change(R"({"result":{"header":{},"created":true,"canceled":false,"events":[]}})"));
  EXPECT_TRUE(tells_of_change(R"({"result":{"header":{},"events":[{"kv":{}}]}})"));
  EXPECT_TRUE(tells_of_change(R"({"result":{"header":{},"canceled":true,"compact_revision":"7"}})"));
  EXPECT_THROW((void)tells_of_change(R"({"error":{"grpc_code":14}})"), Garbage);
}

TEST(EtcdWire, AWatchTellsWhatHappened) {
  EXPECT_TRUE(parse_changes(R"({"result":{"header":{},"created":true}})").empty());
  EXPECT_TRUE(parse_changes(R"({"result":{"header":{},"canceled":true,"compact_revision":"7"}})").empty());
  const auto changes = parse_changes(
      R"({"result":{"events":[
          {"kv":{"key":"YQ==","create_revision":"3","mod_revision":"5","version":"2","value":"eA=="}},
          {"type":"DELETE","kv":{"key":"YQ==","mod_revision":"6"},"prev_kv":{"mod_revision":"5"}}]}})");
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].kv.key, "a");
  EXPECT_EQ(changes[0].kv.value, "x");
  EXPECT_EQ(changes[0].kv.modified, 5);
  EXPECT_EQ(changes[0].before, 0);
  EXPECT_EQ(changes[1].kv.value, "");
  EXPECT_EQ(changes[1].before, 5);
  for (const char* line : {R"({"result":{"events":7}})", R"({"result":{"events":[7]}})",
                           R"({"result":{"events":[{}]}})", R"({"result":{"events":[{"kv":7}]}})"}) {
    EXPECT_THROW((void)parse_changes(line), Garbage) << line;
  }
}

TEST(EtcdWire, Base64IsReadAndWritten) {
  const std::string bytes("\0\xff\x10 any bytes", 13);
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    EXPECT_EQ(decode_base64(encode_base64(bytes.substr(0, size))), bytes.substr(0, size));
  }
  EXPECT_EQ(encode_base64("orders"), "b3JkZXJz");
  EXPECT_THROW((void)decode_base64("a"), Garbage);
  EXPECT_THROW((void)decode_base64("ab!d"), Garbage);
}

}    // namespace
}    // namespace keyrack::etcd
