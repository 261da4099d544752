// A table in plain memory, with a session of this process in it: for tests that look inside.
#pragma once

#include "os/process.hpp"
#include "table/names.hpp"
#include "table/sessions.hpp"

#include <gtest/gtest.h>

#include <sys/mman.h>

#include <memory>
#include <stdexcept>

namespace keyrack::table {

class MemoryTable {
 public:
  explicit MemoryTable(Geometry geometry) : layout_(geometry) {
    // Shared, so that forked children of a test work on the same table.
    void* memory = ::mmap(nullptr, layout_.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(memory);
    table().header().epoch_ns = os::monotonic_ns() - 1'000'000'000;
  }
  ~MemoryTable() { ::munmap(base_, layout_.bytes); }
  MemoryTable(const MemoryTable&) = delete;
  MemoryTable& operator=(const MemoryTable&) = delete;

  Table table() const { return Table(base_, layout_); }

 private:
  Layout layout_;
  std::byte* base_;
};

/// A session of this process; a process may have several here, as if it were several.
class TestSession {
 public:
  explicit TestSession(const MemoryTable& memory) : session_(memory.table()) {
    const auto id = attach(session_.table, os::identify());
    if (!id) throw std::runtime_error("no free session slot");
    session_.id = *id;
  }
  ~TestSession() { detach(session_.table, session_.id); }
  TestSession(const TestSession&) = delete;
  TestSession& operator=(const TestSession&) = delete;

  Session& session() { return session_; }
  const Table& table() const { return session_.table; }
  Caller caller() { return {session_, memory_, 1}; }
  /// Locks by the rules; the token, or 0 when refused.
  std::uint64_t lock(std::string_view key, std::string_view signee) {
    const auto granted = table::lock(caller(), {.key = Key::lock(key), .signee = signee});
    return granted ? granted->token : 0;
  }
  bool unlock(std::string_view key, std::string_view signee) {
    const auto done = table::unlock(caller(), Key::lock(key), signee);
    return done && done->status == UnlockStatus::ok;
  }

 private:
  Session session_;
  ThreadMemory memory_;
};

inline bool is_locked(const Table& table, std::string_view key) {
  CheckResponse holder;
  return check(table, Key::lock(key), holder);
}

inline std::uint32_t count_free_records(const Table& table) {
  std::uint32_t count = 0;
  for (RecordIndex index = 0; index < table.geometry().slots; ++index) {
    if (read_record(table, index).owner.is_free()) ++count;
  }
  return count;
}

inline std::uint32_t count_used_claimants(const Table& table) {
  std::uint32_t count = 0;
  for (ClaimantIndex index = 0; index < table.layout().claimants; ++index) {
    if (ClaimantState{table.claimant(index).state.load()}.used()) ++count;
  }
  return count;
}

}    // namespace keyrack::table
