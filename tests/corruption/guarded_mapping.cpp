// Stands between the library and mmap: behind and before every mapping of a file lies memory that cannot be touched, so
// that an access outside of a segment is a crash. The linker puts it there (--wrap).
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <map>
#include <mutex>

namespace {

// Behind: more than any 24-bit index times any stride of these tests. It costs addresses only.
constexpr std::size_t kBefore = std::size_t{1} << 20, kBehind = std::size_t{16} << 30;

struct Guards {
  std::mutex mutex;
  std::map<void*, std::size_t> lengths;    // of what is mapped between guards
};

Guards& guards() {
  static Guards& all = *new Guards;
  return all;
}

}    // namespace

// The names are the linker's.
extern "C" {
void* __real_mmap(void*, std::size_t, int, int, int, off_t);
int __real_munmap(void*, std::size_t);

void* __wrap_mmap(void* hint, std::size_t length, int protection, int flags, int fd, off_t offset) {
  if (fd < 0 || (flags & MAP_SHARED) == 0) return __real_mmap(hint, length, protection, flags, fd, offset);
  void* const room =
      __real_mmap(nullptr, kBefore + length + kBehind, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return MAP_FAILED;
  void* const place = static_cast<std::byte*>(room) + kBefore;
  if (__real_mmap(place, length, protection, flags | MAP_FIXED, fd, offset) == MAP_FAILED) {
    const int error = errno;
    __real_munmap(room, kBefore + length + kBehind);
    errno = error;
    return MAP_FAILED;
  }
  const std::lock_guard guard(guards().mutex);
  guards().lengths[place] = length;
  return place;
}

int __wrap_munmap(void* place, std::size_t length) {
  {
    const std::lock_guard guard(guards().mutex);
    if (guards().lengths.erase(place) == 0) return __real_munmap(place, length);
  }
  return __real_munmap(static_cast<std::byte*>(place) - kBefore, kBefore + length + kBehind);
}
}
