// The conformance suite on shm://.
#include "sanitizers.hpp"
#include "scratch_segment.hpp"

#include <keyrack/testing/conformance.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace keyrack::testing {
namespace {

class ShmPlace final : public ServiceBootstrap {
 public:
  Opened<LockService> open_lock_service(const ServiceOptions& options) override {
    return keyrack::open_lock_service(url(options));
  }
  Opened<NameManager> open_name_manager(const ServiceOptions& options) override {
    return keyrack::open_name_manager(url(options));
  }

  ServiceTraits traits() const override {
    // The thread sanitizer follows threads, not the forked child of a process that has some.
    return {.granularity = std::chrono::nanoseconds(262'144), .processes = !tests::kThreadSanitizer};
  }

  ServiceDebug& debug() override { return debug_; }

 private:
  class Debug final : public ServiceDebug {
   public:
    explicit Debug(const tests::ScratchSegment& segment) : segment_(segment) {}
    std::string audit() override { return tests::findings_of(segment_.name()); }

   private:
    const tests::ScratchSegment& segment_;
  };

  std::string url(const ServiceOptions& options) const {
    std::string query = "slots=4096&sessions=64";
    const auto add = [&](const char* option, const std::optional<std::chrono::nanoseconds>& value) {
      if (value) query += std::string("&") + option + "=" + std::to_string(value->count()) + "ns";
    };
    add("duration", options.duration);
    add("time_to_live", options.time_to_live);
    add("auto_release_after", options.auto_release_after);
    return segment_.url(query);
  }

  tests::ScratchSegment segment_;
  Debug debug_{segment_};
};

}    // namespace

KEYRACK_INSTANTIATE_CONFORMANCE(Shm, ServiceFactory{"Small", [] { return std::make_unique<ShmPlace>(); }});

}    // namespace keyrack::testing
