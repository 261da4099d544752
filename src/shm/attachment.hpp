// What a process shares among all services that it has open on one segment: its session there.
#pragma once

#include "os/keeper.hpp"
#include "shm/segment.hpp"
#include "table/quick.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace keyrack::shm {

class Attachment {
 public:
  /// This process's attachment to a segment; a new one if it has none. Errors: session_limit, backend_unavailable,
  /// corrupt_segment.
  static Result<std::shared_ptr<Attachment>, OpenError> to(std::shared_ptr<const Segment>);

  /// Releases what is bound to the session, and ends it. In a forked child: nothing, it is the parent's.
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  /// False in a forked child of the process that attached.
  bool mine() const { return keeper_.mine(); }
  const std::shared_ptr<const Segment>& segment() const { return segment_; }
  os::Keeper& keeper() const { return keeper_; }
  table::Session& session() { return session_; }

  /// This thread at work in this session. Of a thread that ends, the claimants are dropped. Throws std::bad_alloc.
  table::Caller caller() { return {session_, memory(), pid_}; }
  table::ThreadMemory& memory() {
    table::ThreadMemory* known = known_memory(serial_);
    return known != nullptr ? *known : thread_memory();
  }

  /// What this thread remembers of the attachment with that serial number, if it has used it last; else null. In the
  /// process of that attachment only.
  static table::ThreadMemory* known_memory(std::uint64_t serial) {
    return latest_.serial == serial ? latest_.memory : nullptr;
  }

  /// Unlike any other attachment's, in this process and its forked children.
  std::uint64_t serial() const { return serial_; }

 private:
  friend class Connection;
  struct ThreadMemories;
  friend struct ThreadMemories;

  explicit Attachment(std::shared_ptr<const Segment>);
  bool attach();    // false: no slot is free
  table::ThreadMemory& thread_memory();
  table::ThreadMemory& late_memory();
  table::Tally tally_in(table::ThreadCounts& counts) const { return {session_.table.counts(session_.id.slot), counts}; }

  /// The attachment that this thread has used last. Without a call to find it, in a shared library either.
  struct Latest {
    std::uint64_t serial = 0;
    const os::Keeper* keeper = nullptr;
    table::ThreadMemory* memory = nullptr;
  };
  [[gnu::tls_model("initial-exec")]] static constinit thread_local Latest latest_;
  static constinit thread_local bool ended_;    // this thread's memories are gone

  std::shared_ptr<const Segment> segment_;
  os::Keeper& keeper_;
  table::Session session_;
  bool attached_ = false;
  std::int32_t pid_ = 0;
  std::uint64_t serial_;
  std::weak_ptr<Attachment> self_;
  std::mutex late_mutex_;
  std::vector<std::unique_ptr<table::ThreadMemory>> late_;
};

/// A service's way to its attachment, which in a forked child is a new one.
class Connection {
 public:
  explicit Connection(std::shared_ptr<Attachment> attachment)
      : segment_(attachment->segment()),
        held_(new std::shared_ptr<Attachment>(attachment)),
        current_(attachment.get()),
        serial_(attachment->serial()) {}
  ~Connection() { delete held_.load(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const std::shared_ptr<const Segment>& segment() const { return segment_; }

  /// Errors: as Attachment::to(), in a forked child only.
  Result<Attachment*, OpenError> attachment() {
    Attachment* attachment = current_.load();
    if (attachment->mine()) [[likely]]
      return attachment;
    return attach_anew();
  }

  /// What this thread remembers of its last calls, if they were on this connection's segment; else null.
  table::ThreadMemory* memory() const {
    const Attachment::Latest& latest = Attachment::latest_;
    return latest.serial == serial_.load(std::memory_order_relaxed) && latest.keeper->mine() ? latest.memory : nullptr;
  }

  /// The attachment if it is this process's; null in a forked child that has not used the service yet.
  Attachment* attachment_if_mine() const {
    Attachment* attachment = current_.load();
    return attachment->mine() ? attachment : nullptr;
  }

 private:
  Result<Attachment*, OpenError> attach_anew();

  std::shared_ptr<const Segment> segment_;
  std::atomic<std::shared_ptr<Attachment>*> held_;
  std::atomic<Attachment*> current_;
  std::atomic<std::uint64_t> serial_;    // of `current_`; a moment later
};

}    // namespace keyrack::shm
