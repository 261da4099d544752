// One member, a proxy before it, and services that ask the one or the other.
#pragma once

#include "cluster.hpp"
#include "proxy.hpp"

#include "etcd/records.hpp"

#include <keyrack/etcd.hpp>
#include <keyrack/testing/outcome.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace keyrack {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::outcome;
using tests::Proxy;
using Fault = tests::Proxy::Fault;

inline constexpr LockOptions kBound{.lifetime = Lifetime::process};

inline tests::Cluster& cluster() { return tests::shared_cluster(); }

class EtcdFaults : public ::testing::Test {
 protected:
  std::string url(const std::string& endpoints, const std::string& options = "timeout=20s") const {
    return "etcd://" + endpoints + "/" + prefix_ + "?session_ttl=2s&clock_error=20ms&" + options;
  }
  std::unique_ptr<LockService> locks(const std::string& endpoints) const {
    return open_lock_service(url(endpoints)).value();
  }
  std::unique_ptr<NameManager> names(const std::string& endpoints) const {
    return open_name_manager(url(endpoints)).value();
  }

  /// In the end: the machine may be busy.
  template <class Open>
  static auto opened(Open open) {
    auto service = open();
    for (int i = 0; i < 100 && !service; ++i) service = open();
    return std::move(service).value();
  }

  /// Whether it is so before patience runs out.
  template <class Done>
  static bool eventually(Done done) {
    const auto give_up = steady_clock::now() + 60s;
    while (!done()) {
      if (steady_clock::now() >= give_up) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }

  /// Until another has got what its holder cannot ask for any more.
  template <class Call>
  static std::string taken(Call&& call) {
    std::string came_to;
    (void)eventually([&] { return (came_to = outcome(call())) != "forbidden" && came_to != "in_use"; });
    return came_to;
  }

  const std::string prefix_ = "faults/" + std::to_string(etcd::random_number());
  Proxy proxy_{cluster().client_port(0)};
};

}    // namespace keyrack
