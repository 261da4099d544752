// The conformance suite on etcd://, on a cluster of one member, or on one of more whose leader is killed again and
// again.
#include "cluster.hpp"

#include "etcd/client.hpp"
#include "etcd/records.hpp"

#include <keyrack/etcd.hpp>
#include <keyrack/testing/conformance.hpp>

#include <memory>
#include <set>
#include <string>

namespace keyrack::testing {
namespace {

using tests::shared_cluster;

/// Whether leaders are killed meanwhile: a call may take seconds then, half of its timeout if its answer was lost, and
/// a death is noticed later.
bool leaders_are_killed() { return shared_cluster().size() > 1; }

/// Each test has a prefix of its own.
class EtcdPlace final : public ServiceBootstrap {
 public:
  Opened<LockService> open_lock_service(const ServiceOptions& options) override {
    return keyrack::open_lock_service(url(options));
  }
  Opened<NameManager> open_name_manager(const ServiceOptions& options) override {
    return keyrack::open_name_manager(url(options));
  }

  ServiceTraits traits() const override {
    return {.granularity = std::chrono::milliseconds(50),
            .leeway = std::chrono::seconds(leaders_are_killed() ? 8 : 2),
            .many = 100,
            .slowness = 20};
  }

  ServiceDebug& debug() override { return debug_; }

 private:
  class Debug final : public ServiceDebug {
   public:
    explicit Debug(const std::string& prefix) : prefix_(prefix) {}

    void await_death(pid_t pid) override {
      while (lives(pid)) pass(std::chrono::milliseconds(50));
    }

   private:
    /// Has anything of a process a life, still?
    bool lives(pid_t pid) const {
      const auto found = client_.commit({.then = {etcd::read(etcd::Range::prefix(prefix_))}},
                                        std::chrono::steady_clock::now() + std::chrono::seconds(30));
      std::set<std::string> lives;
      for (const auto& kv : found.value().read.at(0)) {
        if (etcd::Keys::is_life(kv.key)) lives.insert(keys_.owner_of_life(kv.key));
      }
      const std::string mark = " pid=" + std::to_string(pid) + " ";
      for (const auto& kv : found.value().read.at(0)) {
        if (lives.contains(kv.key) && kv.value.find(mark) != kv.value.npos) return true;
      }
      return false;
    }

    const std::string prefix_;
    const etcd::Keys keys_{prefix_};
    mutable etcd::Client client_{shared_cluster().access()};
  };

  std::string url(const ServiceOptions& options) const {
    std::string url = "etcd://" + shared_cluster().endpoints() + "/" + prefix_ + "?clock_error=20ms" +
                      (leaders_are_killed() ? "&session_ttl=4s&timeout=8s" : "&session_ttl=2s&timeout=10s");
    const auto add = [&](const char* option, const std::optional<std::chrono::nanoseconds>& value) {
      if (value) url += std::string("&") + option + "=" + std::to_string(value->count()) + "ns";
    };
    add("duration", options.duration);
    add("time_to_live", options.time_to_live);
    add("auto_release_after", options.auto_release_after);
    return url;
  }

  const std::string prefix_ = "conformance/" + std::to_string(etcd::random_number());
  Debug debug_{prefix_ + "/"};
};

}    // namespace

KEYRACK_INSTANTIATE_CONFORMANCE(Etcd, ServiceFactory{"Cluster", [] { return std::make_unique<EtcdPlace>(); }});

}    // namespace keyrack::testing
