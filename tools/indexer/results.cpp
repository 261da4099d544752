#include "results.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>

namespace indexer {
namespace {

[[noreturn]] void throw_errno(const std::string& what) { throw std::system_error(errno, std::system_category(), what); }

}    // namespace

void Results::SharedCounts::set(const Counts& counts) {
  words.set(counts.words);
  lines.set(counts.lines);
  bytes.set(counts.bytes);
}

void Results::create(const std::filesystem::path& path, std::size_t files) {
  // Written in full, not as a hole: a disk without room is told of here, and not by a signal later.
  std::ofstream out(path, std::ios::binary);
  out << std::string(sizeof(Header) + files * sizeof(Slot), '\0');
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string() + "; is there room left?");
  out.close();
  Results(path).header_->files.set(files);
}

Results::Results(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) throw_errno("cannot open " + path.string());
  struct stat status {};
  void* start = MAP_FAILED;
  if (fstat(fd, &status) == 0) {
    bytes_ = static_cast<std::size_t>(status.st_size);
    start = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  const int error = errno;
  close(fd);
  errno = error;
  if (start == MAP_FAILED) throw_errno("cannot map " + path.string());
  header_ = static_cast<Header*>(start);
  slots_ = reinterpret_cast<Slot*>(header_ + 1);
}

Results::~Results() { munmap(header_, bytes_); }

void Results::refuse_belated(std::uint64_t token) {
  if (token < header_->token.get()) {
    throw std::runtime_error("refused: the writer's token " + std::to_string(token) + " is older than " +
                             std::to_string(header_->token.get()) + "; it has lost the mutex");
  }
  header_->token.set(token);
}

void Results::carry_out() {
  Slot& slot = slots_[header_->pending.get() - 1];
  slot.counts.set(header_->slot_next.counts.get());
  slot.times.set(header_->slot_next.times.get());
  header_->total.set(header_->total_next.get());
  header_->pending.set(0);
}

std::optional<std::size_t> Results::repair(std::uint64_t token) {
  refuse_belated(token);
  const std::uint64_t pending = header_->pending.get();
  if (pending == 0) return std::nullopt;
  carry_out();
  return pending - 1;
}

void Results::add(std::uint64_t token, std::size_t index, const Counts& counts) {
  repair(token);
  Counts total_next = total();
  total_next += counts;
  header_->slot_next.counts.set(counts);
  header_->slot_next.times.set(times_counted(index) + 1);
  header_->total_next.set(total_next);
  // Killed up to here: nothing has happened. From here on: the next one carries it out. Shown at every instruction by
  // IsWholeAfterTheWritersDeathAtAnyInstruction.
  header_->pending.set(index + 1);
  carry_out();
}

std::size_t Results::files() const { return header_->files.get(); }

std::size_t Results::files_done() const {
  std::size_t n = 0;
  for (std::size_t i = 0; i < files(); ++i) n += done(i);
  return n;
}

std::uint64_t Results::times_counted(std::size_t index) const { return slots_[index].times.get(); }
Counts Results::counts(std::size_t index) const { return slots_[index].counts.get(); }
Counts Results::total() const { return header_->total.get(); }

}    // namespace indexer
