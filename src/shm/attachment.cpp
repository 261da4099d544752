#include "shm/attachment.hpp"

#include "os/process.hpp"
#include "table/names.hpp"
#include "table/sessions.hpp"

#include <map>
#include <mutex>
#include <system_error>
#include <vector>

namespace keyrack::shm {

namespace {

/// The attachments of this process, by segment.
struct Registry {
  const os::Keeper* process;    // whose it is
  Registry* inherited;          // the copy of the parent's, never used
  std::mutex mutex;
  std::map<Segment::Id, std::weak_ptr<Attachment>> attachments;

  /// A forked child starts anew: its parent's may have been locked by a thread that is not here.
  static Registry& of_this_process() {
    static std::atomic<Registry*> current{nullptr};
    const os::Keeper* process = &os::Keeper::of_this_process();
    Registry* registry = current.load();
    while (registry == nullptr || registry->process != process) {
      auto* fresh = new Registry{process, registry, {}, {}};
      if (current.compare_exchange_strong(registry, fresh)) return *fresh;
      delete fresh;
    }
    return *registry;
  }
};

std::atomic<std::uint64_t> next_serial{1};

}    // namespace

/// What one thread remembers of each attachment it uses.
struct Attachment::ThreadMemories {
  struct Entry {
    std::uint64_t serial;
    std::weak_ptr<Attachment> attachment;
    std::unique_ptr<table::ThreadMemory> memory;
  };
  std::vector<Entry> entries;

  ~ThreadMemories() {
    latest_ = {};
    ended_ = true;
    for (Entry& entry : entries) {
      const auto attachment = entry.attachment.lock();
      if (!attachment || !attachment->mine()) continue;
      attachment->session_.give_back(entry.memory->tally.own());
      try {
        entry.memory->claimants.drop_all(attachment->session_.table);
      } catch (const table::Corruption&) {    // NOLINT(bugprone-empty-catch): a thread's end tells nobody
      }
    }
  }

  table::ThreadMemory& of(Attachment& attachment) {
    std::erase_if(entries, [](const Entry& entry) { return entry.attachment.expired(); });
    for (Entry& entry : entries) {
      if (entry.serial == attachment.serial_) return *entry.memory;
    }
    entries.push_back({attachment.serial_, attachment.self_, std::make_unique<table::ThreadMemory>()});
    table::ThreadMemory& memory = *entries.back().memory;
    memory.tally = attachment.tally_in(attachment.session_.take_thread_counts());
    return memory;
  }
};

Attachment::Attachment(std::shared_ptr<const Segment> segment)
    : segment_(std::move(segment)),
      keeper_(os::Keeper::of_this_process()),
      session_(segment_->table()),
      serial_(next_serial.fetch_add(1)) {}

bool Attachment::attach() {
  const os::Identity self = os::identify();
  const auto id = table::attach(session_.table, self);
  if (!id) return false;
  attached_ = true;
  pid_ = self.pid;
  session_.id = *id;
  // Processes look for room in places of their own, so that the records they make lie apart.
  session_.record_cursor = id->slot * 64;
  session_.claimant_cursor = id->slot * 64;
  return true;
}

Attachment::~Attachment() {
  if (!attached_) return;
  if (!mine()) return;
  bool unfinished = false;
  try {
    if (session_.binds) {    // else there is nothing to look for
      table::unlock_all_of(session_.table, session_.id);
      table::release_all_of(session_.table, session_.id);
    }
  } catch (...) {    // corrupt, or out of memory
    unfinished = true;
  }
  table::detach(session_.table, session_.id, unfinished);
}

Result<std::shared_ptr<Attachment>, OpenError> Attachment::to(std::shared_ptr<const Segment> segment) {
  try {
    Registry& registry = Registry::of_this_process();
    const std::lock_guard guard(registry.mutex);
    std::weak_ptr<Attachment>& known = registry.attachments[segment->id()];
    if (auto attachment = known.lock()) return attachment;
    std::shared_ptr<Attachment> attachment(new Attachment(segment));    // first: what throws later takes no session
    if (!attachment->attach()) {
      return OpenError{Errc::session_limit, "all " + std::to_string(segment->table().geometry().sessions) +
                                                " session slots are taken by living processes"};
    }
    attachment->self_ = attachment;
    known = attachment;
    return attachment;
  } catch (const table::Corruption& corruption) {
    return OpenError{Errc::corrupt_segment, corruption.what};
  } catch (const std::system_error& error) {
    return OpenError{Errc::backend_unavailable, std::string("starting the keeper thread: ") + error.what()};
  } catch (const std::bad_alloc&) {
    return OpenError{Errc::backend_unavailable, "out of memory"};
  }
}

constinit thread_local Attachment::Latest Attachment::latest_;
constinit thread_local bool Attachment::ended_ = false;

table::ThreadMemory& Attachment::thread_memory() {
  static thread_local ThreadMemories all;
  latest_ = {serial_, &keeper_, ended_ ? &late_memory() : &all.of(*this)};
  return *latest_.memory;
}

/// For a destructor of some thread-local object that calls us when `all` is no more. Kept until we end.
table::ThreadMemory& Attachment::late_memory() {
  const std::lock_guard guard(late_mutex_);
  table::ThreadMemory& memory = *late_.emplace_back(std::make_unique<table::ThreadMemory>());
  memory.tally = tally_in(session_.shared_thread_counts());
  return memory;
}

Result<Attachment*, OpenError> Connection::attach_anew() {
  if (auto good = check_clock(segment_->table().header()); !good) return good.error();    // the child's may be another
  auto attached = Attachment::to(segment_);
  if (!attached) return attached.error();
  // The parent's is left behind: its destructor would do nothing, but threads that are not here may be using it.
  auto fresh = std::make_unique<std::shared_ptr<Attachment>>(*attached);
  std::shared_ptr<Attachment>* seen = held_.load();
  while (!(*seen)->mine()) {
    if (held_.compare_exchange_strong(seen, fresh.get())) {
      seen = fresh.release();
      break;
    }
  }
  current_.store(seen->get());
  serial_.store((*seen)->serial(), std::memory_order_relaxed);
  return seen->get();
}

}    // namespace keyrack::shm
