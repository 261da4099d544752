// Rivals that are locks of the kernel on files, which end with the process that holds them.
#pragma once

#include "harness/processes.hpp"
#include "harness/scratch.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <string>
#include <vector>

namespace keyrack::bench {

/// An open file.
class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path);
  }
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }

  int fd() const { return fd_; }

 private:
  int fd_;
};

class FlockKeptOpen {
 public:
  static constexpr std::string_view kName = "flock, files kept open";
  static constexpr bool kSurvivesDeath = true, kSleeps = true;

  explicit FlockKeptOpen(std::size_t keys) : keys_(keys) {}

  void lock(std::size_t key) { require(::flock(file(key), LOCK_EX) == 0, "flock() failed"); }
  void unlock(std::size_t key) { require(::flock(file(key), LOCK_UN) == 0, "flock() failed"); }

 private:
  int file(std::size_t key) {
    return files_
        .get([this] {
          auto files = std::make_unique<std::vector<File>>();
          for (std::size_t each = 0; each < keys_; ++each) files->emplace_back(folder_.path(std::to_string(each)));
          return files;
        })[key]
        .fd();
  }

  ScratchFolder folder_;
  std::size_t keys_;
  PerProcess<std::vector<File>> files_;
};

/// By one who knows no more than the key: a file for each.
class FlockPerKey {
 public:
  static constexpr std::string_view kName = "flock, open + lock + close";
  static constexpr bool kSurvivesDeath = true, kSleeps = true;

  explicit FlockPerKey(std::size_t keys) {
    for (std::size_t key = 0; key < keys; ++key) {
      paths_.push_back(folder_.path(std::to_string(key)));
      File{paths_[key]};
    }
  }

  void lock(std::size_t key) {
    held_ = ::open(paths_[key].c_str(), O_RDWR | O_CLOEXEC);
    require(held_ >= 0 && ::flock(held_, LOCK_EX) == 0, "open() or flock() failed");
  }
  void unlock(std::size_t) { ::close(held_); }

 private:
  ScratchFolder folder_;
  std::vector<std::string> paths_;
  int held_ = -1;
};

/// A byte of one file for each key, by locks that belong to the open file and not to the process. `Others`: so many
/// more are held.
template <std::size_t Others>
class OfdRange {
 public:
  static constexpr std::string_view kName = Others == 0 ? "OFD range lock" : "OFD range lock, 1,000 others held";
  static constexpr bool kSurvivesDeath = true, kSleeps = true;

  explicit OfdRange(std::size_t keys) : keys_(keys), others_(path()) {
    for (std::size_t i = 0; i < Others; ++i)
      set(others_, keys_ + 1 + 2 * i, F_WRLCK);    // with gaps: neighbours are merged
  }

  void lock(std::size_t key) { set(file(), key, F_WRLCK); }
  void unlock(std::size_t key) { set(file(), key, F_UNLCK); }

 private:
  static void set(const File& file, std::size_t at, int type) {
    struct flock range {};
    range.l_type = static_cast<short>(type);
    range.l_whence = SEEK_SET;
    range.l_start = static_cast<off_t>(at);
    range.l_len = 1;
    require(::fcntl(file.fd(), F_OFD_SETLKW, &range) == 0, "F_OFD_SETLKW failed");
  }
  std::string path() const { return folder_.path("ranges"); }
  const File& file() {
    return file_.get([this] { return std::make_unique<File>(path()); });
  }

  ScratchFolder folder_;
  std::size_t keys_;
  File others_;
  PerProcess<File> file_;
};

}    // namespace keyrack::bench
