#include "shm/segment.hpp"

#include "os/checked.hpp"
#include "os/clock.hpp"
#include "os/process.hpp"
#include "shm/guard.hpp"

#include <keyrack/segment.hpp>

#include <boost/interprocess/permissions.hpp>
#include <boost/interprocess/shared_memory_object.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

namespace keyrack::shm {

namespace {

namespace bip = boost::interprocess;
using table::Geometry;
using table::Header;
using table::Layout;
using table::Word;

const char* const kFolder = "/dev/shm";    // where shm_open of this C library keeps its objects
constexpr std::chrono::milliseconds kFormatPatience{1000};
constexpr std::int64_t kBeforeCreation = std::int64_t{3} * 24 * 3600 * 1'000'000'000;    // tick 0, in ns

std::string path_of(const std::string& name) { return std::string(kFolder) + "/" + name; }

/// Never follows a link, nor waits for the other end of a pipe.
os::Descriptor open_file(const std::string& path, int access) {
  const int flags = access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  return os::Descriptor(os::uninterrupted([&] { return ::open(path.c_str(), flags); }));
}

/// A file descriptor as Boost.Interprocess maps it.
class Mappable {
 public:
  Mappable(int fd, bip::mode_t mode) : fd_(fd), mode_(mode) {}
  bip::mapping_handle_t get_mapping_handle() const { return {fd_, false}; }    // not System V
  bip::mode_t get_mode() const { return mode_; }

 private:
  int fd_;
  bip::mode_t mode_;
};

Geometry geometry_for(const GeometryRequest& request) {
  Geometry geometry;
  geometry.slots = request.slots.value_or(geometry.slots);
  geometry.sessions = request.sessions.value_or(geometry.sessions);
  geometry.max_signature = request.max_signature.value_or(geometry.max_signature);
  geometry.max_signee = request.max_signee.value_or(geometry.max_signee);
  return geometry;
}

/// The first option that asks for another geometry than there is.
std::optional<std::string> difference(const GeometryRequest& request, const Geometry& have) {
  const auto differs = [](const char* option, std::optional<std::uint32_t> asked, std::uint32_t there) {
    return asked && *asked != there ? std::optional(std::string(option) + "=" + std::to_string(*asked) +
                                                    ", but the segment has " + std::to_string(there))
                                    : std::nullopt;
  };
  if (auto text = differs("slots", request.slots, have.slots)) return text;
  if (auto text = differs("sessions", request.sessions, have.sessions)) return text;
  if (auto text = differs("max_signature", request.max_signature, have.max_signature)) return text;
  return differs("max_signee", request.max_signee, have.max_signee);
}

std::string mebibytes(std::uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr int kMadvCollapse = 25;    // of Linux 6.1; the C library's headers may be older

/// Maps an object where its huge pages can be huge in our page tables, too.
bip::mapped_region map_aligned(int fd, bip::mode_t mode, std::size_t bytes) {
  const Mappable object(fd, mode);
  if (bytes >= kHugePage) {
    // Asks for a place with room to spare, gives it back, and asks for a part of it. Somebody else may be quicker.
    const std::size_t room = bytes + kHugePage;
    void* const place = ::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place != MAP_FAILED) {
      ::munmap(place, room);
      const auto address = table::round_up(reinterpret_cast<std::uintptr_t>(place), kHugePage);
      try {
        return {object, mode, 0, bytes, reinterpret_cast<void*>(address)};    // NOLINT(performance-no-int-to-ptr)
      } catch (const bip::interprocess_exception&) {    // NOLINT(bugprone-empty-catch): any other place will do
      }
    }
  }
  return {object, mode, 0, bytes};
}

int reserve(int fd, std::size_t at, std::size_t bytes) {
  int error = 0;
  do {
    error = ::posix_fallocate(fd, static_cast<off_t>(at), static_cast<off_t>(bytes));
  } while (error == EINTR);
  return error;
}

/// Gives an object its size and real memory: what is mapped later can be written without SIGBUS. In huge pages where
/// the system has them, for whoever maps it: a table is met at random, and to find a small page costs more than to read
/// what is there. All is as well without.
Result<void, OpenError> allocate(int fd, std::size_t bytes) {
  if (os::uninterrupted([&] { return ::ftruncate(fd, static_cast<off_t>(bytes)); }) != 0) {
    return os::failure("sizing the segment");
  }
  int error = 0;
  const std::size_t huge = bytes / kHugePage * kHugePage;
  // An extent is collapsed only if there is something in it; and a page of it is all that has to be copied then.
  for (std::size_t at = 0; at < huge && error == 0; at += kHugePage) error = reserve(fd, at, table::kPage);
  if (huge > 0 && error == 0) {
    const bip::mapped_region region = map_aligned(fd, bip::read_write, bytes);
    (void)::madvise(region.get_address(), huge, kMadvCollapse);
  }
  if (error == 0) error = reserve(fd, 0, bytes);
  if (error == 0) return {};
  if (error != ENOSPC && error != ENOMEM && error != EFBIG) return os::failure("allocating the segment", error);
  struct statvfs room {};
  std::string detail = "needs " + mebibytes(bytes);
  if (::statvfs(kFolder, &room) == 0) {
    detail += std::string(", ") + kFolder + " has " + std::to_string(std::uint64_t{room.f_bavail} * room.f_bsize >> 20);
  }
  return OpenError{Errc::backend_unavailable, detail + "; make room, or ask for fewer slots"};
}

Result<std::int64_t, OpenError> own_clock() {
  if (const auto offset = os::clock_offset_ns()) return *offset;
  return OpenError{Errc::backend_unavailable, "this process has left its time namespace; open the segment in a child"};
}

Result<void, OpenError> format(int fd, const Geometry& geometry) {
  const Layout layout(geometry);
  const auto clock = own_clock();
  if (!clock) return clock.error();
  const auto boot = os::boot_id();
  // From nothing: whatever somebody has left half made is gone, and everything is zero.
  if (os::uninterrupted([&] { return ::ftruncate(fd, 0); }) != 0) return os::failure("clearing the segment");
  if (auto done = allocate(fd, layout.bytes); !done) return done;
  bip::mapped_region page(Mappable(fd, bip::read_write), bip::read_write, 0, table::kPage);
  auto& header = *static_cast<Header*>(page.get_address());
  header.magic = table::kMagic;
  // First: killed before, it is all zero; after, it has the magic and is not ready. Both are unfinished.
  std::atomic_thread_fence(std::memory_order_release);
  header.layout_version = table::kLayoutVersion;
  header.geometry = geometry;
  header.fingerprint = layout.fingerprint();
  header.bytes = layout.bytes;
  header.boot_id = boot;
  header.created_ns = os::wall_ns();
  // Tick 0 lies three days back, so that ends in the past have a tick, too.
  header.epoch_ns = os::monotonic_ns() - kBeforeCreation;
  header.clock_offset_ns = *clock;
  header.ready.store(1, std::memory_order_release);    // [H1] last; pairs with [H2]
  return {};
}

Result<std::shared_ptr<const Segment>, OpenError> wrong(Errc code, std::string detail) {
  return OpenError{code, std::move(detail)};
}

enum class Completeness { complete, unfinished };

/// Is it a segment, and made ready? Reads without mapping: the object may be shorter than it says.
Result<Completeness, OpenError> look_once(int fd, const std::string& name, Header& header, std::uint64_t& bytes) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return os::failure("looking at segment " + name);
  if (!S_ISREG(status.st_mode)) return OpenError{Errc::corrupt_segment, name + " is no shared-memory object"};
  alignas(Header) char raw[sizeof(Header)] = {};
  const ssize_t got = ::pread(fd, raw, sizeof raw, 0);
  if (got < 0) return os::failure("reading segment " + name);
  // The size after the header: whoever formats it gives it the size first.
  if (::fstat(fd, &status) != 0) return os::failure("looking at segment " + name);
  bytes = static_cast<std::uint64_t>(status.st_size);
  std::memcpy(static_cast<void*>(&header), raw, sizeof raw);
  const bool zero = std::all_of(raw, raw + got, [](char c) { return c == 0; });
  // Another version may say elsewhere that it is ready: it is not ours to finish.
  const bool ours =
      header.magic == table::kMagic && (header.layout_version == 0 || header.layout_version == table::kLayoutVersion);
  if (zero) return Completeness::unfinished;
  if (header.magic != table::kMagic) {
    return OpenError{Errc::corrupt_segment, name + " does not begin as a segment does; `keyrack rm` removes it"};
  }
  if (ours && header.ready.load(std::memory_order_acquire) == 0) {    // [H2]
    // Whoever uses a segment takes a session first: this one was ready, and is not to be formatted under its users.
    if (header.sessions_high_water.load(std::memory_order_relaxed) == 0) return Completeness::unfinished;
    return OpenError{Errc::corrupt_segment, name + " is in use, and not ready; `keyrack rm` removes it"};
  }
  return Completeness::complete;
}

/// Reading is not one step: what is read while somebody formats it may make no sense. Only then it is read again.
Result<Completeness, OpenError> look_at(int fd, const std::string& name, Header& header, std::uint64_t& bytes) {
  auto seen = look_once(fd, name, header, bytes);
  if (!seen && seen.error().code == Errc::corrupt_segment) seen = look_once(fd, name, header, bytes);
  return seen;
}

Result<void, OpenError> check_layout(const Header& header, std::uint64_t bytes, const std::string& name) {
  if (header.layout_version != table::kLayoutVersion) {
    return OpenError{Errc::incompatible_segment, "segment " + name + " has layout version " +
                                                     std::to_string(header.layout_version) + ", this build has " +
                                                     std::to_string(table::kLayoutVersion)};
  }
  const Geometry& g = header.geometry;
  const bool sane = g.slots >= 1 && g.slots <= table::kMaxSlots && g.sessions >= 1 &&
                    g.sessions <= table::kMaxSessions && g.max_signature >= 1 &&
                    g.max_signature <= table::kMaxKeyBytes && g.max_signee >= 1 && g.max_signee <= table::kMaxKeyBytes;
  if (!sane) return OpenError{Errc::corrupt_segment, "the geometry of segment " + name + " makes no sense"};
  const Layout layout(g);
  if (header.fingerprint != layout.fingerprint() || header.bytes != layout.bytes) {
    return OpenError{Errc::incompatible_segment,
                     "segment " + name + " was laid out by another build; remove it once nobody uses it"};
  }
  if (bytes < layout.bytes) {
    return OpenError{Errc::corrupt_segment,
                     "segment " + name + " has " + std::to_string(bytes) + " bytes of " + std::to_string(layout.bytes)};
  }
  return {};
}

Result<void, OpenError> check_header(const Header& header, std::uint64_t bytes, const std::string& name) {
  if (auto good = check_layout(header, bytes, name); !good) return good;
  if (header.boot_id != os::boot_id()) {
    return OpenError{Errc::incompatible_segment, "segment " + name + " is from before the last boot; remove it"};
  }
  if (auto good = check_clock(header); !good) return good;
  if (header.epoch_ns < -kBeforeCreation || header.epoch_ns > os::monotonic_ns()) {
    return OpenError{Errc::corrupt_segment, "the time at which segment " + name + " was made makes no sense"};
  }
  return {};
}

OpenedSegment map(int fd, const Layout& layout, bip::mode_t mode) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return os::failure("looking at the segment");
  bip::mapped_region region = map_aligned(fd, mode, layout.bytes);
  return std::make_shared<const Segment>(std::move(region), layout, Segment::Id{status.st_dev, status.st_ino});
}

/// A complete segment without a name, then with one. Empty: somebody else was quicker. no_segment as an error: this
/// system cannot make files without a name.
Result<std::optional<os::Descriptor>, OpenError> create_linked(const std::string& name, const Options& options) {
  os::Descriptor fd(os::uninterrupted([] { return ::open(kFolder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); }));
  if (!fd) {
    if (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT) return OpenError{Errc::no_segment, {}};
    return os::failure("creating segment " + name);
  }
  if (auto done = format(fd.get(), geometry_for(options.geometry)); !done) return done.error();
  if (::fchmod(fd.get(), options.mode) != 0) return os::failure("setting the mode of segment " + name);
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path_of(name).c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return std::optional(std::move(fd));
  }
  if (errno == EEXIST) return std::optional<os::Descriptor>{};
  if (errno == ENOENT) return OpenError{Errc::no_segment, {}};    // no /proc
  return os::failure("naming segment " + name);
}

/// Formats an unfinished object of that name in place. Whoever holds the lock does it; the kernel frees the lock of one
/// who dies. One who stops while he holds it is waited for no longer than a second.
Result<void, OpenError> finish(int fd, const std::string& name, const Options& options) {
  const auto give_up = std::chrono::steady_clock::now() + kFormatPatience;
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return os::failure("locking segment " + name);
    if (std::chrono::steady_clock::now() >= give_up) {
      return OpenError{Errc::backend_unavailable,
                       "somebody has been formatting segment " + name + " for a second; stop him, or remove it"};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  Header header;
  std::uint64_t bytes = 0;
  Result<void, OpenError> done{};
  if (auto now = look_at(fd, name, header, bytes); !now) {
    done = now.error();
  } else if (*now == Completeness::unfinished) {
    done = format(fd, geometry_for(options.geometry));
  }
  ::flock(fd, LOCK_UN);
  return done;
}

OpenedSegment open_or_create(const Options& options) {
  const std::string& name = options.name;
  const auto give_up = std::chrono::steady_clock::now() + kFormatPatience;
  for (bool without_name = true;;) {
    os::Descriptor fd = open_file(path_of(name), O_RDWR);
    if (!fd && errno != ENOENT) return os::failure("opening segment " + name);
    if (!fd) {
      if (!options.create) return wrong(Errc::no_segment, "there is no segment " + name);
      if (without_name) {
        auto made = create_linked(name, options);
        if (!made && made.error().code != Errc::no_segment) return made.error();
        if (made && *made) fd = std::move(**made);
        without_name = static_cast<bool>(made);
      } else {
        bip::permissions permissions(static_cast<int>(options.mode));
        bip::shared_memory_object(bip::open_or_create, name.c_str(), bip::read_write, permissions);
      }
      if (!fd) continue;
    }
    Header header;
    std::uint64_t bytes = 0;
    auto state = look_at(fd.get(), name, header, bytes);
    if (!state) return state.error();
    if (*state == Completeness::unfinished) {
      if (!options.create) return wrong(Errc::no_segment, "segment " + name + " was never finished");
      if (auto done = finish(fd.get(), name, options); !done) return done.error();
      if (std::chrono::steady_clock::now() >= give_up) {
        return wrong(Errc::backend_unavailable, "segment " + name + " does not get ready");
      }
      continue;
    }
    if (auto good = check_header(header, bytes, name); !good) return good.error();
    if (auto text = difference(options.geometry, header.geometry)) return wrong(Errc::incompatible_segment, *text);
    return map(fd.get(), Layout(header.geometry), bip::read_write);
  }
}

template <class Open>
OpenedSegment guarded_open(const std::string& name, Open&& open) {
  try {
    return open();
  } catch (const bip::interprocess_exception& error) {
    return os::failure("mapping segment " + name, static_cast<int>(error.get_native_error()));
  } catch (const std::system_error& error) {
    return wrong(Errc::backend_unavailable, error.what());
  } catch (const std::bad_alloc&) {
    return wrong(Errc::backend_unavailable, "out of memory");
  }
}

}    // namespace

bool Segment::is_whole() const {
  std::byte* const end = static_cast<std::byte*>(region_.get_address()) + region_.get_size();
  // An older kernel says EINVAL, which tells nothing.
  return ::madvise(end - table::kPage, table::kPage, MADV_POPULATE_READ) == 0 || errno != EFAULT;
}

OpenedSegment open_segment(const Options& options) {
  return guarded_open(options.name, [&] { return open_or_create(options); });
}

Result<void, OpenError> check_clock(const Header& header) {
  const auto clock = own_clock();
  if (!clock) return clock.error();
  if (*clock == header.clock_offset_ns) return {};
  return OpenError{Errc::incompatible_segment, "the segment's leases run on the clock of another time namespace"};
}

OpenedSegment open_segment_read_only(const std::string& name) {
  return guarded_open(name, [&]() -> OpenedSegment {
    const os::Descriptor fd = open_file(path_of(name), O_RDONLY);
    if (!fd && errno == ENOENT) return wrong(Errc::no_segment, "there is no segment " + name);
    if (!fd) return os::failure("opening segment " + name);
    Header header;
    std::uint64_t bytes = 0;
    auto state = look_at(fd.get(), name, header, bytes);
    if (!state) return state.error();
    if (*state == Completeness::unfinished) return wrong(Errc::no_segment, "segment " + name + " was never finished");
    if (auto good = check_header(header, bytes, name); !good) return good.error();
    return map(fd.get(), Layout(header.geometry), bip::read_only);
  });
}

Result<Copy, OpenError> open_copy_read_only(const std::string& path) {
  const auto unusable = [&](const std::string& why) { return OpenError{Errc::corrupt_segment, path + " " + why}; };
  Header header;
  std::int64_t changed_ns = 0;
  auto segment = guarded_open(path, [&]() -> OpenedSegment {
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    const os::Descriptor fd(os::uninterrupted([&] { return ::open(path.c_str(), flags); }));
    if (!fd) return os::failure("opening " + path);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return os::failure("looking at " + path);
    changed_ns = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
    std::uint64_t bytes = 0;
    const auto state = look_once(fd.get(), path, header, bytes);
    if (!state || *state == Completeness::unfinished) return unusable("is no copy of a finished segment");
    if (auto good = check_layout(header, bytes, path); !good) return good.error();
    return map(fd.get(), Layout(header.geometry), bip::read_only);
  });
  if (!segment) return segment.error();
  // Nothing of it is to be trusted; sums of these are to be numbers.
  constexpr std::int64_t kLatest = std::int64_t{1} << 61;
  const auto sane = [](std::int64_t ns) { return ns >= -kBeforeCreation && ns <= kLatest; };
  if (!sane(header.epoch_ns) || !sane(header.created_ns)) return unusable("was made at a time that makes no sense");
  const std::int64_t created_ns = header.epoch_ns + kBeforeCreation;
  const std::int64_t age_ns = std::clamp(changed_ns, header.created_ns, kLatest) - header.created_ns;
  return Copy{*segment, created_ns, created_ns + age_ns};
}

}    // namespace keyrack::shm

namespace keyrack {

Result<void> remove_segment(std::string_view name) {
  if (!shm::is_segment_name(name)) return make_error_code(Errc::bad_request);
  return shm::guarded([&]() -> Result<void> {
    if (::unlink(shm::path_of(std::string(name)).c_str()) == 0) return {};
    return os::failure("removing").code;
  });
}

Result<std::vector<SegmentFile>> list_segments() {
  return shm::guarded([]() -> Result<std::vector<SegmentFile>> {
    // Not by the iterators of std::filesystem: where memory runs out they end the process.
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(shm::kFolder), ::closedir);
    if (!folder) return os::failure("listing").code;
    std::vector<SegmentFile> found;
    for (;;) {
      errno = 0;
      const dirent* const entry = ::readdir(folder.get());
      if (entry == nullptr) break;
      const os::Descriptor fd = shm::open_file(shm::path_of(entry->d_name), O_RDONLY);
      if (!fd && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {    // else it is not for us, or gone
        return os::failure("listing").code;
      }
      struct stat status {};
      std::uint64_t magic = 0;
      if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
      if (::pread(fd.get(), &magic, sizeof magic, 0) != sizeof magic || magic != table::kMagic) continue;
      found.push_back(
          {entry->d_name, static_cast<std::uint64_t>(status.st_size), status.st_uid, status.st_mode & 07777});
    }
    if (errno != 0) return os::failure("listing").code;
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return found;
  });
}

}    // namespace keyrack
