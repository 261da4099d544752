// Segments and folders for the cases, which leave nothing behind, however a run ends.
#pragma once

#include "harness/suite.hpp"

#include <keyrack/keyrack.hpp>

#include <memory>
#include <string>
#include <string_view>

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

/// A new folder in memory; it is removed with what is in it when this object or this process ends.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }
  /// Of something in it.
  std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

/// A name in shared memory that nobody else uses. What comes to have it is removed when this process ends.
std::string scratch_name();

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
