// The results of all workers together: one file that each of them maps. It shows how to write under a keyrack lock so
// that neither a killed nor a belated writer does harm.
//
// Killed at any instant, a worker must leave nothing behind that counts a file twice or not at all. Whoever updates a
// result and a total in place leaves, killed between the two, a total that is wrong for good. So an update is written
// down first, as the values that shall stand afterwards (not as what to add), then declared pending with a single
// store, then carried out, then undeclared:
//
//   killed before it is pending       nothing has happened: the file's lock is abandoned, somebody takes it over
//   killed after that, anywhere       the next holder of the mutex carries it out; twice gives the same as once
//
// Belated is a writer that lost the mutex without noticing, say because its lease ran out while it was stopped. Each
// write states the fencing token of the writer's grant; the store remembers the highest one and refuses lower ones.
#pragma once

#include "corpus.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>

namespace indexer {

class Results {
 public:
  /// Makes the file, with nothing counted yet.
  static void create(const std::filesystem::path&, std::size_t files);

  explicit Results(const std::filesystem::path&);
  ~Results();
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;

  // By the holder of the mutex only, with the token of its grant. Throw std::runtime_error when it is a belated one.

  /// Carries out what a killed writer declared; the index of its file.
  std::optional<std::size_t> repair(std::uint64_t token);
  /// Repairs, then notes the file's counts and adds them to the total.
  void add(std::uint64_t token, std::size_t index, const Counts&);

  // By anybody.

  std::size_t files() const;
  std::size_t files_done() const;
  bool done(std::size_t index) const { return times_counted(index) != 0; }
  std::uint64_t times_counted(std::size_t index) const;    ///< 1 in the end, unless the locks have failed
  Counts counts(std::size_t index) const;
  Counts total() const;

 private:
  // Shared, and read by others after a death: every store is a release, so whoever sees one sees all before it.
  class Word {
   public:
    std::uint64_t get() const { return value_.load(std::memory_order_acquire); }
    void set(std::uint64_t value) { value_.store(value, std::memory_order_release); }

   private:
    std::atomic<std::uint64_t> value_;
  };
  struct SharedCounts {
    Word words, lines, bytes;
    Counts get() const { return {words.get(), lines.get(), bytes.get()}; }
    void set(const Counts&);
  };
  struct Slot {
    Word times;    // how often it was counted
    SharedCounts counts;
  };
  struct Header {
    Word files;
    Word token;    // the highest that ever wrote
    SharedCounts total;
    Word pending;               // 1 + the index of the file whose update is declared, 0: none
    Slot slot_next;             // what stands in its slot after the update,
    SharedCounts total_next;    // and what in the total
  };
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

  void refuse_belated(std::uint64_t token);
  void carry_out();

  Header* header_ = nullptr;
  Slot* slots_ = nullptr;
  std::size_t bytes_ = 0;
};

}    // namespace indexer
