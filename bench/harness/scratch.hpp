// Segments for the cases, which leave nothing behind, however a run ends.
#pragma once

#include "harness/suite.hpp"

#include <keyrack/keyrack.hpp>

#include <memory>
#include <string>

namespace keyrack::bench {

/// A name for a segment; it is removed when this object or this process ends.
class ScratchName {
 public:
  ScratchName();
  ~ScratchName();
  ScratchName(const ScratchName&) = delete;
  ScratchName& operator=(const ScratchName&) = delete;

  const std::string& name() const { return name_; }
  /// `query` without the question mark.
  std::string url(const std::string& query = "") const { return "shm://" + name_ + (query.empty() ? "" : "?" + query); }

 private:
  std::string name_;
};

/// The lock service of a new segment, whose name is gone by then: forked processes come to it by their mapping.
inline std::unique_ptr<LockService> scratch_locks(const std::string& query = "") {
  const ScratchName name;
  return expect(open_lock_service(name.url(query)), "opening a segment");
}

inline std::unique_ptr<NameManager> scratch_names(const std::string& query = "") {
  const ScratchName name;
  return expect(open_name_manager(name.url(query)), "opening a segment");
}

}    // namespace keyrack::bench
