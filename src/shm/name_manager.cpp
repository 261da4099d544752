// The name manager on a segment: checks the request, finds this thread's place in the session, and asks the table.
#include "shm/attachment.hpp"
#include "shm/guard.hpp"
#include "shm/services.hpp"
#include "table/names.hpp"

#include <algorithm>
#include <charconv>

namespace keyrack::shm {

namespace {

using std::chrono::nanoseconds;
using std::chrono::system_clock;

/// The number that a name is, if it is one as it would be written: no sign, no leading zero.
std::optional<std::uint32_t> number_of(std::string_view name) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size() || (name.size() > 1 && name.front() == '0')) return {};
  return number;
}

/// A name that is held: kept alive by the process's keeper.
class ShmGrip final : public HeldName::Grip, private os::KeeperTask {
 public:
  ShmGrip(Attachment& attachment, std::string_view family, std::optional<nanoseconds> auto_release_after,
          const table::NameGrant& grant)
      : segment_(attachment.segment()),
        keeper_(attachment.keeper()),
        serial_(attachment.serial()),
        family_(family),
        auto_release_after_(auto_release_after),
        grant_(grant) {
    constexpr nanoseconds most = std::chrono::milliseconds(250), least = std::chrono::milliseconds(1);
    keeper_.add(*this, (auto_release_after ? std::clamp(*auto_release_after / 3, least, most) : most).count());
  }
  ~ShmGrip() override { (void)release(); }

  std::error_code status() const override {
    if (released_) return {};
    if (!keeper_.mine()) return make_error_code(Errc::lost);
    const auto in_force = guarded([&]() -> Result<void> {
      if (lost_.load(std::memory_order_relaxed)) return make_error_code(Errc::lost);
      if (!table::is_in_force(table(), family(), grant_)) return make_error_code(Errc::lost);
      return {};
    });
    return in_force ? std::error_code{} : in_force.error();
  }

  Result<void> release() override {
    if (released_) return {};
    released_ = true;
    if (!keeper_.mine()) return make_error_code(Errc::lost);    // a forked child's copy
    keeper_.remove(*this);
    return guarded([&] { return table::release_grant(table(), Attachment::known_memory(serial_), family(), grant_); });
  }

 private:
  void run() noexcept override {
    const auto alive = guarded([&] { return table::keep_alive_grant(table(), family(), grant_); });
    if (!alive) lost_.store(true, std::memory_order_relaxed);
  }
  const table::Table& table() const { return segment_->table(); }
  table::Family family() const { return {family_, auto_release_after_}; }

  std::shared_ptr<const Segment> segment_;
  os::Keeper& keeper_;
  const std::uint64_t serial_;
  const std::string family_;
  const std::optional<nanoseconds> auto_release_after_;
  const table::NameGrant grant_;
  std::atomic<bool> lost_{false};
  bool released_ = false;
};

class ShmNameManager final : public NameManager {
 public:
  ShmNameManager(std::shared_ptr<Attachment> attachment, const Options& options)
      : connection_(std::move(attachment)), auto_release_after_(options.auto_release_after) {}

  Result<HeldName> hold(std::string_view family) override {
    return guarded([&]() -> Result<HeldName> {
      if (!is_family(family)) return make_error_code(Errc::bad_request);
      const auto attached = connection_.attachment();
      if (!attached) return attached.error().code;
      const auto grant = table::acquire_name((*attached)->caller(), {family, auto_release_after_}, true);
      if (!grant) return grant.error();
      return held(**attached, family, *grant);
    });
  }

  Result<std::string> acquire(std::string_view family) override {
    return guarded([&]() -> Result<std::string> {
      if (!is_family(family)) return make_error_code(Errc::bad_request);
      const auto attached = connection_.attachment();
      if (!attached) return attached.error().code;
      const auto grant = table::acquire_name((*attached)->caller(), {family, auto_release_after_}, false);
      if (!grant) return grant.error();
      return std::to_string(grant->number);
    });
  }

  Result<void> keep_alive(std::string_view family, std::string_view name) override {
    return guarded([&]() -> Result<void> {
      if (!is_good(family, name)) return make_error_code(Errc::bad_request);
      const auto number = number_of(name);
      if (!number) return {};
      return table::keep_alive_name(table(), {family, auto_release_after_}, *number);
    });
  }

  Result<void> release(std::string_view family, std::string_view name) override {
    return guarded([&]() -> Result<void> {
      if (!is_good(family, name)) return make_error_code(Errc::bad_request);
      const auto number = number_of(name);
      if (!number) return {};
      return table::release_name(table(), connection_.memory(), {family, auto_release_after_}, *number);
    });
  }

  Result<HeldName> try_hold(std::string_view family, std::string_view name) override {
    return guarded([&]() -> Result<HeldName> {
      auto grant = try_grant(family, name, true);
      if (!grant) return grant.error();
      return held(*grant->first, family, grant->second);
    });
  }

  Result<void> try_acquire(std::string_view family, std::string_view name) override {
    return guarded([&]() -> Result<void> {
      auto grant = try_grant(family, name, false);
      if (!grant) return grant.error();
      return {};
    });
  }

  Result<std::vector<Name>> list() override {
    return guarded([&]() -> Result<std::vector<Name>> {
      std::vector<Name> names;
      for (const table::NameSeen& seen : table::list_names(table(), auto_release_after_)) {
        const auto time = [](std::int64_t wall_ns) { return system_clock::time_point(nanoseconds(wall_ns)); };
        names.push_back({std::to_string(seen.number), seen.family, time(seen.created_ns),
                         seen.free ? system_clock::time_point{} : time(seen.updated_ns), seen.free});
      }
      return names;
    });
  }

  Result<void> reset() override {
    return guarded([&]() -> Result<void> {
      table::reset_names(table());
      return {};
    });
  }

 private:
  Result<std::pair<Attachment*, table::NameGrant>> try_grant(std::string_view family, std::string_view name,
                                                             bool process_bound) {
    if (!is_good(family, name)) return make_error_code(Errc::bad_request);
    const auto number = number_of(name);
    if (!number) return make_error_code(Errc::not_exist);
    const auto attached = connection_.attachment();
    if (!attached) return attached.error().code;
    const auto grant =
        table::try_acquire_name((*attached)->caller(), {family, auto_release_after_}, *number, process_bound);
    if (!grant) return grant.error();
    return std::pair(*attached, *grant);
  }

  HeldName held(Attachment& attachment, std::string_view family, const table::NameGrant& grant) {
    try {
      return {std::string(family), std::to_string(grant.number),
              std::make_unique<ShmGrip>(attachment, family, auto_release_after_, grant)};
    } catch (...) {    // out of memory: nobody would give it back
      (void)table::release_grant(table(), connection_.memory(), {family, auto_release_after_}, grant);
      throw;
    }
  }

  const table::Table& table() const { return connection_.segment()->table(); }
  bool is_family(std::string_view family) const { return is_text(family, table().geometry().max_signature); }
  bool is_good(std::string_view family, std::string_view name) const {
    return is_family(family) && is_text(name, table().geometry().max_signature);
  }

  Connection connection_;
  const std::optional<nanoseconds> auto_release_after_;
};

}    // namespace

Opened<NameManager> open_name_manager(const Options& options) {
  auto segment = open_segment(options);
  if (!segment) return segment.error();
  auto attachment = Attachment::to(*segment);
  if (!attachment) return attachment.error();
  return std::unique_ptr<NameManager>(std::make_unique<ShmNameManager>(*attachment, options));
}

}    // namespace keyrack::shm
