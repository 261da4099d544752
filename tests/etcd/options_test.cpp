// What etcd:// URLs say.
#include "etcd/options.hpp"
#include "etcd/clock.hpp"
#include "query.hpp"

#include <gtest/gtest.h>

#include <string>

namespace keyrack::etcd {
namespace {

using namespace std::chrono_literals;

std::string detail(std::string_view rest) {
  const auto options = parse_options(rest);
  return options ? "fine" : options.error().detail;
}

TEST(EtcdOptions, HaveDefaults) {
  const auto options = parse_options("10.0.0.1:2379/orders").value();
  EXPECT_EQ(options.access.endpoints, std::vector<std::string>{"10.0.0.1:2379"});
  EXPECT_FALSE(options.access.tls);
  EXPECT_EQ(options.prefix, "orders/");
  EXPECT_EQ(options.timeout, 3s);
  EXPECT_EQ(options.session_ttl, 5s);
  EXPECT_EQ(options.clock_error, 500ms);
  EXPECT_FALSE(options.duration || options.time_to_live || options.auto_release_after);
}

TEST(EtcdOptions, AreAllTaken) {
  const auto options =
      parse_options(
          "a:1,[::1]:2,c:3/team/my%20orders/?ca=/ca.pem&cert=c.pem&key=k.pem&user=u&password=p%26w&timeout=1s"
          "&session_ttl=10s&clock_error=1ms&max_signature=9&max_signee=8&duration=3s&time_to_live=4s"
          "&auto_release_after=5s")
          .value();
  EXPECT_EQ(options.access.endpoints, (std::vector<std::string>{"a:1", "[::1]:2", "c:3"}));
  EXPECT_TRUE(options.access.tls);
  EXPECT_EQ(options.access.ca, "/ca.pem");
  EXPECT_EQ(options.access.password, "p&w");
  EXPECT_EQ(options.prefix, "team/my orders/");
  EXPECT_EQ(options.session_ttl, 10s);
  EXPECT_EQ(options.clock_error, 1ms);
  EXPECT_EQ(options.max_signature, 9u);
  EXPECT_EQ(options.auto_release_after, 5s);
}

TEST(EtcdOptions, NameTheOffendingPart) {
  EXPECT_EQ(detail("a:1"), "no prefix (write etcd://HOST:PORT/PREFIX)");
  EXPECT_EQ(detail("a:1/"), "no prefix (write etcd://HOST:PORT/PREFIX)");
  EXPECT_EQ(detail("a/x"), "endpoint a: write HOST:PORT, several with commas between");
  EXPECT_EQ(detail("a:1,,b:2/x"), "endpoint : write HOST:PORT, several with commas between");
  EXPECT_EQ(detail("a:99999/x"), "endpoint a:99999: write HOST:PORT, several with commas between");
  EXPECT_EQ(detail("me@a:1/x"), "endpoint a:1: give user and password as options of these names, not before it");
  EXPECT_EQ(detail("me:secret@a:1/x"), detail("me@a:1/x"));
  EXPECT_EQ(detail("a:1/x//y"), "prefix /y: has an empty part, or a NUL inside");
  EXPECT_EQ(detail("a:1/x/lock"), "prefix x/lock: its part lock is what keys of x go on with");
  EXPECT_EQ(detail("a:1/x/y/%6eame/z"), "prefix x/y/name: its part name is what keys of x/y go on with");
  EXPECT_EQ(detail("a:1/lock/locks"), "fine");
  EXPECT_EQ(detail("a:1/x?session_ttl=10ms"), "session_ttl=10ms: too short or too long");
  EXPECT_EQ(detail("a:1/x?timeout=fast"), "timeout=fast is not a duration (write 250ms, 10s, 1m30s)");
  EXPECT_EQ(detail("a:1/x?cert=c"), "cert and key: give both or none");
  EXPECT_EQ(detail("a:1/x?user=u"), "user and password: give both or none");
  EXPECT_EQ(detail("a:1/x?slots=1").substr(0, 21), "unknown option slots ");
}

TEST(EtcdOptions, ThatAreWrongTellNoPassword) {
  for (const std::string wrong :
       {"password=secret%", "password=secret&user=%z", "password=se%00secret", "timeout=7&password=secret",
        "password=se#secret", "password=secret&password=secret"}) {
    EXPECT_EQ(detail("a:1/x?" + wrong).find("secret"), std::string::npos) << detail("a:1/x?" + wrong);
  }
  EXPECT_EQ(url::without_password("etcd://a:1/x?user=u&password=secret&tls=true"),
            "etcd://a:1/x?user=u&password=***&tls=true");
  EXPECT_EQ(url::without_password("etcd://me:secret@a:1/x"), "etcd://me:***@a:1/x");
  EXPECT_EQ(url::without_password("shm://password=x?slots=1"), "shm://password=x?slots=1");
}

TEST(EtcdClock, NobodyBelievesInWhatAnotherCanHave) {
  constexpr Instant kEnd = 1'000'000;
  for (Instant error = 0; error <= 8; ++error) {
    for (Instant apart = -error; apart <= error; ++apart) {
      for (Instant now = kEnd - 20; now <= kEnd + 20; ++now) {
        const Clock owner{nanoseconds(error), now}, other{nanoseconds(error), now + apart};
        EXPECT_TRUE(owner.is_past_for_its_owner(kEnd) || !other.is_past(kEnd)) << error << " " << apart << " " << now;
      }
    }
  }
  const Clock clock{nanoseconds(8), kEnd};
  EXPECT_TRUE((Clock{nanoseconds(8), kEnd - 8}.is_past(clock.after(nanoseconds(-1))))) << "at once, by every clock";
}

}    // namespace
}    // namespace keyrack::etcd
