// etcd behind TLS, with certificates on both sides and its own authentication turned on.
#include "cluster.hpp"

#include "etcd/wire.hpp"

#include <keyrack/etcd.hpp>
#include <keyrack/testing/outcome.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace keyrack {
namespace {

using namespace std::chrono_literals;
using testing::outcome;

class EtcdSecurity : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new tests::Cluster(1, tests::Cluster::Security::certificates);
    const auto ask = [](const char* path, const std::string& body) { cluster_->ask(path, body); };
    ask("/v3/auth/role/add", R"({"name": "root"})");
    ask("/v3/auth/role/add", R"({"name": "workers"})");
    ask("/v3/auth/role/grant", R"({"name": "workers", "perm": {"permType": "READWRITE", "key": ")" +
                                   etcd::encode_base64("orders/") + R"(", "range_end": ")" +
                                   etcd::encode_base64("orders0") + "\"}}");
    for (const std::string user : {"root", "worker"}) {
      ask("/v3/auth/user/add", R"({"name": ")" + user + R"(", "password": "of )" + user + "\"}");
    }
    ask("/v3/auth/user/grant", R"({"user": "root", "role": "root"})");
    ask("/v3/auth/user/grant", R"({"user": "worker", "role": "workers"})");
    ask("/v3/auth/enable", "{}");
  }
  static void TearDownTestSuite() { delete cluster_; }

  static std::string url(const std::string& options, const std::string& prefix = "orders") {
    return "etcd://" + cluster_->endpoint(0) + "/" + prefix + "?session_ttl=2s&timeout=20s" + options;
  }
  static std::string shown(const std::string& name) {
    return "&cert=" + cluster_->file(name + ".pem") + "&key=" + cluster_->file(name + ".key");
  }
  static std::string trusted(const std::string& name) { return "&ca=" + cluster_->file(name + ".pem"); }
  static std::string certified() { return trusted("ca") + shown("client"); }
  static std::string worker() { return certified() + "&user=worker&password=of%20worker"; }

  static std::string opening(const std::string& url) { return outcome(open_lock_service(url)); }

  static inline tests::Cluster* cluster_ = nullptr;
};

TEST_F(EtcdSecurity, WhoIsTrustedIsServed) {
  const auto locks = open_lock_service(url(worker())).value();
  const auto names = open_name_manager(url(worker())).value();
  const auto witness = open_lock_service(url(certified() + "&user=root&password=of%20root")).value();
  EXPECT_EQ(outcome(locks->lock({"job", "anna"}, {.lifetime = Lifetime::process})), "ok");
  EXPECT_EQ(outcome(witness->lock({"job", "ben"})), "forbidden");
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(locks->lock({"job", "anna"}, {.duration = 300ms})), "ok");
  EXPECT_EQ(outcome(locks->lock_for({"job", "carl"}, 60s)), "transferred from anna");
  EXPECT_EQ(outcome(locks->lock({"short", "anna"}, {.time_to_live = 1h})), "ok");
  EXPECT_EQ(outcome(locks->unlock({"short", "anna"})), "ok");
  const auto held = names->hold("stack").value();
  EXPECT_EQ(outcome(held.status()), "ok");
  EXPECT_EQ(outcome(names->list()), "1 names");
}

TEST_F(EtcdSecurity, ClosingReleasesWithTheRightsToThePrefixAlone) {
  const auto root = open_lock_service(url(certified() + "&user=root&password=of%20root")).value();
  {
    const auto locks = open_lock_service(url(worker())).value();
    ASSERT_EQ(outcome(locks->lock({"closed", "anna"}, {.lifetime = Lifetime::process})), "ok");
  }
  EXPECT_EQ(outcome(root->check("closed")), "not_found") << "released, not abandoned";
}

TEST_F(EtcdSecurity, WhoIsNotTrustedIsNot) {
  const std::string user = "&user=worker&password=of%20worker";
  // Whatever the reason it is told: that the time is up would be none.
  const auto expect_refused = [&](const std::string& options, const std::string& why) {
    std::string refused = url(user + options);
    const auto opened = open_lock_service(refused.replace(refused.find("timeout=20s"), 11, "timeout=4s"));
    EXPECT_EQ(outcome(opened), "backend_unavailable") << options;
    const std::string detail = opened ? "" : opened.error().detail;
    EXPECT_NE(detail.find(why), std::string::npos) << options << ": " << detail;
  };
  expect_refused("", "");                                          // no TLS: etcd hangs up, sometimes with a word
  expect_refused("&tls=true" + shown("client"), "certificate");    // the system does not know the authority
  expect_refused(trusted("stranger") + shown("client"), "certificate");
  expect_refused(trusted("nowhere") + shown("client"), "certificate");
  expect_refused(trusted("ca"), "alert");    // etcd's word
  expect_refused(trusted("ca") + shown("stranger"), "alert");
  EXPECT_EQ(opening(url(user + certified())), "open") << "all of these for want of a certificate";
}

TEST_F(EtcdSecurity, UserPasswordAndRightsAreAskedFor) {
  EXPECT_EQ(opening(url(certified())), "permission_denied") << "nobody";
  EXPECT_EQ(opening(url(certified() + "&user=worker&password=wrong")), "permission_denied");
  EXPECT_EQ(opening(url(certified() + "&user=stranger&password=of%20worker")), "permission_denied");
  EXPECT_EQ(opening(url(worker(), "payments")), "permission_denied") << "another prefix";
  const auto opened = open_lock_service(url(certified() + "&user=worker&password=secret"));
  EXPECT_EQ(opened.error().message().find("secret"), std::string::npos) << opened.error().message();
}

TEST_F(EtcdSecurity, AnOldTokenIsReplaced) {
  const auto locks = open_lock_service(url(worker())).value();
  ASSERT_EQ(outcome(locks->lock({"kept", "dora"})), "ok");
  // A password that is set, to what it was, ends what was authenticated by it.
  const std::string root =
      etcd::parse_token(cluster_->ask("/v3/auth/authenticate", R"({"name": "root", "password": "of root"})"));
  cluster_->ask("/v3/auth/user/changepw", R"({"name": "worker", "password": "of worker"})", root);
  EXPECT_EQ(outcome(locks->check("kept")), "dora");
}

TEST_F(EtcdSecurity, AuthenticationMayBeSwitchedOffAndOn) {
  const auto locks = open_lock_service(url(worker())).value();
  const std::string root =
      etcd::parse_token(cluster_->ask("/v3/auth/authenticate", R"({"name": "root", "password": "of root"})"));
  cluster_->ask("/v3/auth/disable", "{}", root);
  EXPECT_EQ(outcome(locks->lock({"switched", "anna"})), "ok");
  EXPECT_EQ(opening(url(worker())), "open") << "a user that nobody asks for";
  cluster_->ask("/v3/auth/enable", "{}");
  EXPECT_EQ(outcome(locks->check("switched")), "anna");
  EXPECT_EQ(opening(url(certified())), "permission_denied");
}

}    // namespace
}    // namespace keyrack
