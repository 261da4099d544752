// Pooled names: the decimal numbers 0, 1, 2, … of a family, lent out and given back, the lowest free one first.
//
//     auto names = keyrack::open_name_manager("shm://orders?auto_release_after=5s").value();
//     keyrack::HeldName worker = names->hold("worker").value();    // "0", "1", …: ours until released
//
// Two ways to have a name:
//   hold, try_hold        kept alive in the background until released; free again when the process dies, on shm:// at
//   once acquire, try_acquire  belongs to no process and outlives the one that acquired it, until released
// With `auto_release_after`, a name whose last acquire or keep_alive is older counts as free, held or acquired.
//
// Threads, processes, fork, exec: as for locks (lock_service.hpp). A HeldName that a fork copied into a child is `lost`
// there, and does nothing. Progress on shm://: all calls but list and reset are lock-free; those two are too, and take
// time in proportion to the table. One thread per process keeps alive all names that the process holds.
#pragma once

#include <keyrack/errors.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack {

struct Name {
  std::string name, family;
  std::chrono::system_clock::time_point created_at;    ///< first registered
  std::chrono::system_clock::time_point updated_at;    ///< last acquired or kept alive; epoch while free
  bool free = false;
};

/// A name that is held. Movable; releases in its destructor. Not safe to use from two threads at once.
class KEYRACK_API HeldName {
 public:
  /// What a backend gives: one name, kept alive. Its destructor releases without a word.
  class Grip {
   public:
    virtual ~Grip() = default;
    virtual std::error_code status() const = 0;
    virtual Result<void> release() = 0;
  };

  HeldName(std::string family, std::string name, std::unique_ptr<Grip>);
  HeldName(HeldName&&) noexcept;
  HeldName& operator=(HeldName&&) noexcept;    ///< releases what it held
  ~HeldName();

  const std::string& name() const { return name_; }
  const std::string& family() const { return family_; }

  /// Empty while the name is ours. Errc::lost (or a backend's error) once keeping it alive has failed: it was taken
  /// away by age or by a reset, or this is a forked child. Empty, too, after release().
  std::error_code status() const;

  /// Stops the keep-alive, then releases. Errors: lost, if it was taken away before; it is gone all the same. The
  /// second call does nothing and is no error.
  Result<void> release();

 private:
  std::string family_, name_;
  std::unique_ptr<Grip> grip_;
};

/// Pooled names on some backend; open_name_manager() makes one. Whoever implements a backend derives from this.
///
/// Errors of every call: bad_request (an empty or over-long family or name, a NUL inside), corrupt_segment,
/// backend_unavailable; and those named at the call.
class KEYRACK_API NameManager {
 public:
  virtual ~NameManager();
  NameManager(const NameManager&) = delete;
  NameManager& operator=(const NameManager&) = delete;

  /// As acquire(), kept alive in the background and bound to this process. Errors: table_full, session_limit.
  virtual Result<HeldName> hold(std::string_view family) = 0;

  /// Lends the lowest-numbered free name of the family; when none is free, the next new number.
  /// Errors: table_full, session_limit.
  virtual Result<std::string> acquire(std::string_view family) = 0;

  /// Starts `auto_release_after` anew. Of a free or unknown name: no error, and nothing changes.
  virtual Result<void> keep_alive(std::string_view family, std::string_view name) = 0;

  /// Gives it back, whoever has it. Of a free or unknown name: no error, and nothing changes.
  virtual Result<void> release(std::string_view family, std::string_view name) = 0;

  /// As try_acquire(), kept alive in the background and bound to this process.
  virtual Result<HeldName> try_hold(std::string_view family, std::string_view name) = 0;

  /// That very name. Errors: not_exist if it was never acquired, in_use if somebody has it; session_limit.
  virtual Result<void> try_acquire(std::string_view family, std::string_view name) = 0;

  /// Every name ever registered since the last reset, by family, then by number.
  virtual Result<std::vector<Name>> list() = 0;

  /// Forgets all names of all families, at one instant; whoever still holds one learns `lost`.
  virtual Result<void> reset() = 0;

 protected:
  NameManager() = default;
};

}    // namespace keyrack
