#include "image.hpp"

#include "segment_fixture.hpp"
#include "table/chain.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <stdexcept>

namespace keyrack::tests {

namespace {

using table::Key;
using table::Owner;
using table::Table;

/// "PREFIX0", "PREFIX1", …: the first whose lock belongs into that bucket.
std::string key_in_bucket(const std::string& prefix, std::uint64_t bucket, std::uint64_t buckets) {
  for (int i = 0;; ++i) {
    const std::string key = prefix + std::to_string(i);
    if (Key::lock(key).tag.hash() % buckets == bucket) return key;
  }
}

void require(const std::string& got, const std::string& expected) {
  if (got != expected) throw std::runtime_error("the image cannot be made: " + got + " instead of " + expected);
}

/// The segment's bytes to write on, as somebody who died in the middle of it would have.
class Mapping {
 public:
  Mapping(const std::string& path, const table::Layout& layout) : layout_(layout) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    void* memory = ::mmap(nullptr, layout.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    base_ = static_cast<std::byte*>(memory);
  }
  ~Mapping() { ::munmap(base_, layout_.bytes); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  Table table() const { return Table(base_, layout_); }
  std::string bytes() const { return {reinterpret_cast<const char*>(base_), layout_.bytes}; }

 private:
  table::Layout layout_;
  std::byte* base_;
};

/// A record in ALLOC for the dead session, and an unlocked one that is condemned but not taken out.
void leave_half_done(const Table& table, std::uint32_t dead_slot, const std::string& condemned) {
  const table::Search search = table::find(table, Key::lock(condemned));
  if (!search.hit || !search.hit->replace(search.hit->head.next_token(), Owner::dead())) {
    throw std::runtime_error("no unlocked record to condemn");
  }
  for (table::RecordIndex index = 0; index < table.geometry().slots; ++index) {
    const table::Hit hit = table::read_record(table, index);
    if (!hit.owner.is_free()) continue;
    const table::Life life{table.life(dead_slot).word.load()};
    (void)hit.replace(hit.head.next_token(), Owner::alloc({dead_slot, life.generation()}));
    return;
  }
  throw std::runtime_error("no free record");
}

}    // namespace

Image make_image(const table::Geometry& geometry, unsigned more_keys, unsigned more_names) {
  Image image;
  image.geometry = geometry;
  const table::Layout layout(geometry);
  image.held = key_in_bucket("held", 0, layout.buckets);
  image.idle = key_in_bucket("idle", 0, layout.buckets);
  image.stale = key_in_bucket("stale", 0, layout.buckets);
  image.abandoned = key_in_bucket("gone", 1, layout.buckets);
  image.waited_for = key_in_bucket("wait", 1, layout.buckets);
  const std::string condemned = key_in_bucket("cond", 1, layout.buckets);
  image.family = "fam";

  const ScratchSegment segment;
  const std::string url =
      segment.url("slots=" + std::to_string(geometry.slots) + "&sessions=" + std::to_string(geometry.sessions) +
                  "&max_signature=" + std::to_string(geometry.max_signature) +
                  "&max_signee=" + std::to_string(geometry.max_signee));

  Child living([&](Child::Link& parent) {
    const auto locks = open_lock_service(url).value();
    const auto names = open_name_manager(url).value();
    require(outcome(names->acquire("old")), "0");
    require(outcome(names->acquire("old")), "1");
    parent.say("a reset begins");
    parent.hear();
    auto held_name = names->hold(image.family);
    for (const char* expected : {"1", "2", "3"}) require(outcome(names->acquire(image.family)), expected);
    require(outcome(names->release(image.family, "2")), "ok");
    require(outcome(names->release(image.family, "3")), "ok");
    require(outcome(locks->lock({image.held, "anna", 3}, kBound)), "ok");
    require(outcome(locks->lock({image.waited_for, "anna"}, {.time_to_live = std::chrono::hours(1)})), "ok");
    require(outcome(locks->lock({image.stale, "anna"}, {.duration = std::chrono::nanoseconds(-1)})), "ok");
    for (const std::string& key : {image.idle, condemned}) {
      require(outcome(locks->lock({key, "anna"})), "ok");
      require(outcome(locks->unlock({key, "anna"})), "ok");
    }
    for (unsigned i = 0; i < more_keys; ++i) {
      const std::string key = "more" + std::to_string(i);
      (void)locks->lock({key, "signee" + std::to_string(i % 37)}, i % 2 == 0 ? kBound : LockOptions{});
      if (i % 3 == 0) (void)locks->unlock({key, "signee" + std::to_string(i % 37)});
    }
    for (unsigned i = 0; i < more_names; ++i) {
      const auto name = names->acquire("more");
      if (name && i % 4 == 0) (void)names->release("more", *name);
    }
    parent.say("ready");
    parent.hear();
  });
  require(living.hear(), "a reset begins");
  const Mapping mapping(segment.path(), layout);
  mapping.table().header().names_epoch.fetch_add(1);    // and whoever resets dies
  living.tell("go on");
  require(living.hear(), "ready");

  Child dying([&](Child::Link& parent) {
    const auto locks = open_lock_service(url).value();
    const auto names = open_name_manager(url).value();
    require(outcome(locks->lock({image.abandoned, "ben"}, kBound)), "ok");
    const auto held = names->try_hold(image.family, "3");
    require(outcome(held), "3");
    parent.say("ready");
    parent.hear();
  });
  require(dying.hear(), "ready");
  dying.kill();

  Child waiting([&](Child::Link&) {
    const auto locks = open_lock_service(url).value();
    (void)locks->lock_for({image.waited_for, "carl"}, std::chrono::hours(1));
  });
  const auto inspector = open_inspector(segment.name()).value();
  if (!eventually([&] { return !inspector->snapshot().value().waiters.empty(); })) {
    throw std::runtime_error("nobody waits");
  }
  waiting.stop();
  living.stop();
  // The one that waits took the dead one's slot, after recovery: mark another death, not recovered from.
  const Table table = mapping.table();
  constexpr std::uint32_t kDeadSlot = 2;
  table.header().sessions_high_water.store(kDeadSlot + 1);
  table.life(kDeadSlot).word.store(std::uint64_t{1} << 32 | 0x4000'0000);
  leave_half_done(table, kDeadSlot, condemned);
  image.bytes = mapping.bytes();
  return image;
}

std::string place_of(const table::Layout& layout, std::size_t offset) {
  struct Array {
    const char* name;
    std::size_t at, stride;
  };
  const Array arrays[] = {{"record", layout.records_at, layout.record_stride},
                          {"claimant", layout.claimants_at, layout.claimant_stride},
                          {"bucket", layout.buckets_at, sizeof(table::Bucket)},
                          {"waiter", layout.waiters_at, sizeof(table::Waiter)},
                          {"session info", layout.infos_at, sizeof(table::SessionInfo)},
                          {"session counts", layout.counts_at, sizeof(table::SessionCounts)},
                          {"life", layout.lives_at, sizeof(table::LifeEntry)}};
  for (const Array& array : arrays) {
    if (offset < array.at) continue;
    const std::size_t inside = offset - array.at;
    return std::string(array.name) + " " + std::to_string(inside / array.stride) + " + " +
           std::to_string(inside % array.stride);
  }
  return "header + " + std::to_string(offset);
}

}    // namespace keyrack::tests
