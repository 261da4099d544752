// Hosts whose wall clocks are apart: one process that sets its own to that of whoever is asked.
#include "faults.hpp"

#include "etcd/clock.hpp"

namespace keyrack {
namespace {

class EtcdClocks : public EtcdFaults {
 protected:
  ~EtcdClocks() override { etcd::wall_clock_shift = 0ns; }

  /// The clock of both hosts is off by that, each the other way.
  struct Hosts {
    std::chrono::nanoseconds owners, others;

    template <class Call>
    auto owner(Call&& call) const {
      etcd::wall_clock_shift = owners;
      return call();
    }
    template <class Call>
    auto other(Call&& call) const {
      etcd::wall_clock_shift = others;
      return call();
    }
  };

  std::string url(const std::string& endpoint, const std::string& options) const {
    return "etcd://" + endpoint + "/" + prefix_ + "?timeout=20s&session_ttl=60s&" + options;
  }
};

TEST_F(EtcdClocks, WhileTheyAreNotTooFarApartNobodyBelievesInWhatAnotherHas) {
  const std::string options = "clock_error=600ms&duration=500ms&auto_release_after=500ms";
  const auto locks = open_lock_service(url(proxy_.endpoint(), options)).value();
  const auto names = open_name_manager(url(proxy_.endpoint(), options)).value();
  const auto other_locks = open_lock_service(url(cluster().endpoint(0), options)).value();
  const auto other_names = open_name_manager(url(cluster().endpoint(0), options)).value();
  for (const Hosts hosts : {Hosts{290ms, -290ms}, Hosts{-290ms, 290ms}}) {
    const auto granted = hosts.owner([&] { return locks->lock({"job", "anna"}, kBound); });
    ASSERT_EQ(outcome(granted), "ok");
    // Out of reach: it is the clock that must tell when to believe no longer.
    proxy_.spoil(Fault::apart, Proxy::kAlways);
    EXPECT_EQ(taken([&] { return hosts.other([&] {
                            return other_locks->lock({"job", "ben"});
                          }); }),
              "transferred from anna");
    EXPECT_EQ(hosts.owner([&] { return outcome(locks->confirm("job", granted->token)); }), "lost");
    proxy_.spare();
    EXPECT_EQ(outcome(other_locks->unlock({"job", "ben"})), "ok");

    const auto held = hosts.owner([&] { return opened([&] { return names->hold("stack"); }); });
    proxy_.spoil(Fault::apart, Proxy::kAlways);
    EXPECT_EQ(taken([&] { return hosts.other([&] { return other_names->try_acquire("stack", held.name()); }); }), "ok");
    EXPECT_EQ(hosts.owner([&] { return outcome(held.status()); }), "lost");
    proxy_.spare();
    EXPECT_EQ(outcome(other_names->reset()), "ok");
  }
}

TEST_F(EtcdClocks, WhenTheyAreFurtherApartTokensTell) {
  const std::string options = "clock_error=100ms&duration=1h";
  const auto locks = open_lock_service(url(proxy_.endpoint(), options)).value();
  const auto others = open_lock_service(url(cluster().endpoint(0), options)).value();
  const Hosts hosts{0s, 2h};
  for (const LockOptions& lifetime : {LockOptions{}, kBound}) {
    const auto granted = hosts.owner([&] { return locks->lock({"job", "anna"}, lifetime); });
    ASSERT_EQ(outcome(granted), "ok");
    const auto taken = hosts.other([&] { return others->lock({"job", "ben"}); });
    ASSERT_EQ(outcome(taken), "transferred from anna") << "too early";
    EXPECT_GT(taken->token, granted->token);
    EXPECT_EQ(hosts.owner([&] { return outcome(locks->confirm("job", granted->token)); }), "lost");
    EXPECT_EQ(hosts.owner([&] { return outcome(locks->unlock({"job", "anna"})); }), "forbidden");
    EXPECT_EQ(hosts.other([&] { return outcome(others->unlock({"job", "ben"})); }), "ok");
  }
}

}    // namespace
}    // namespace keyrack
