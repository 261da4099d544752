// Which backend answers a URL.
#include <keyrack/backend.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

namespace keyrack {
namespace {

// Answers with an error that tells what it was asked, so that no service is needed.
template <class Service>
auto echo(std::string who) {
  return [who](std::string_view rest) -> Opened<Service> {
    return OpenError{Errc::no_segment, who + " " + std::string(rest)};
  };
}

Backend echo_backend(std::string protocol, std::string who) {
  return {.protocol = std::move(protocol),
          .description = who,
          .open_lock_service = echo<LockService>(who + " locks"),
          .open_name_manager = echo<NameManager>(who + " names")};
}

TEST(Registry, HasSharedMemoryFromTheStart) {
  const auto all = backends();
  const auto shm = std::ranges::find(all, "shm", &Backend::protocol);
  ASSERT_NE(shm, all.end());
  for (const char* option : {"shm://", "slots", "sessions", "max_signature", "max_signee", "mode", "create", "duration",
                             "time_to_live", "auto_release_after"}) {
    EXPECT_NE(shm->description.find(option), std::string::npos) << option;
  }
  const auto opened = open_lock_service("shm://orders?colour=red");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::bad_url);
  EXPECT_TRUE(opened.error().detail.starts_with("unknown option colour")) << opened.error().detail;
  EXPECT_EQ(open_name_manager("shm://?slots=1").error().code, Errc::bad_url);
}

TEST(Registry, HandsOnWhatFollowsTheProtocol) {
  register_backend(echo_backend("echo", "one"));
  EXPECT_EQ(open_lock_service("echo://a://b?c").error().detail, "one locks a://b?c");
  EXPECT_EQ(open_name_manager("echo://x").error().detail, "one names x");
}

TEST(Registry, TheSameProtocolAgainReplacesIt) {
  register_backend(echo_backend("twice", "first"));
  register_backend(echo_backend("twice", "second"));
  EXPECT_EQ(open_lock_service("twice://x").error().detail, "second locks x");
  const auto all = backends();
  EXPECT_EQ(std::ranges::count(all, "twice", &Backend::protocol), 1);
  EXPECT_TRUE(std::ranges::is_sorted(all, {}, &Backend::protocol));
}

TEST(Registry, RefusesWhatIsNoUrl) {
  for (const std::string url : {"", "orders", "shm:/orders", "://orders", "shm:orders"}) {
    const auto opened = open_lock_service(url);
    ASSERT_FALSE(opened) << url;
    EXPECT_EQ(opened.error().code, Errc::bad_url) << url;
    EXPECT_EQ(opened.error().detail, url + " has no protocol (write shm://NAME)");
  }
  const auto opened = open_name_manager("shm://");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::bad_url);
  EXPECT_EQ(opened.error().detail, "shm:// has nothing after ://");
}

TEST(Registry, NamesAnUnknownProtocolAndThoseItKnows) {
  register_backend(echo_backend("known", "one"));
  const auto opened = open_lock_service("elsewhere://orders");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::unknown_backend);
  EXPECT_TRUE(opened.error().detail.starts_with("elsewhere:// ")) << opened.error().detail;
  EXPECT_NE(opened.error().detail.find(" known://"), std::string::npos) << opened.error().detail;
  EXPECT_NE(opened.error().detail.find(" shm://"), std::string::npos) << opened.error().detail;
  EXPECT_EQ(open_name_manager("SHM://orders").error().code, Errc::unknown_backend);
}

TEST(Registry, SaysWhichServiceABackendLacks) {
  register_backend({.protocol = "empty", .description = "", .open_lock_service = {}, .open_name_manager = {}});
  const auto locks = open_lock_service("empty://x");
  ASSERT_FALSE(locks);
  EXPECT_EQ(locks.error().code, Errc::unknown_backend);
  EXPECT_EQ(locks.error().detail, "empty:// gives no lock service");
  EXPECT_EQ(open_name_manager("empty://x").error().detail, "empty:// gives no name manager");
}

TEST(Registry, TurnsAnExceptionIntoAnError) {
  register_backend({.protocol = "thrower",
                    .description = "",
                    .open_lock_service = [](std::string_view) -> Opened<LockService> {
                      throw std::runtime_error("connection refused");
                    },
                    .open_name_manager = {}});
  const auto opened = open_lock_service("thrower://x");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::backend_unavailable);
  EXPECT_EQ(opened.error().detail, "connection refused");
}

TEST(Registry, ABackendMayRegisterAnother) {
  register_backend({.protocol = "parent",
                    .description = "",
                    .open_lock_service = [](std::string_view) -> Opened<LockService> {
                      register_backend(echo_backend("child", "child"));
                      return open_lock_service("child://x");
                    },
                    .open_name_manager = {}});
  EXPECT_EQ(open_lock_service("parent://x").error().detail, "child locks x");
}

TEST(Registry, IsSafeFromManyThreads) {
  register_backend(echo_backend("busy", "busy"));
  std::vector<std::jthread> threads;
  std::atomic<int> right = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&right] {
      for (int round = 0; round < 200; ++round) {
        register_backend(echo_backend("busy", "busy"));
        right += open_lock_service("busy://x").error().detail == "busy locks x" && !backends().empty();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(right, 800);
}

// Static objects may use the registry before main() begins.
const bool registered_early = [] {
  register_backend(echo_backend("early", "early"));
  return true;
}();

TEST(Registry, MayBeUsedBeforeMain) {
  ASSERT_TRUE(registered_early);
  EXPECT_EQ(open_lock_service("early://x").error().detail, "early locks x");
}

}    // namespace
}    // namespace keyrack
