// Fuzz target: segments whose bytes make no sense. An input is a list of words to lay over a good segment, so that it
// gets behind the checks of the header; then every call is made.
#include "calls.hpp"
#include "scratch_segment.hpp"
#include "target.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using namespace keyrack::tests;

class Judge final : public CallObserver {
 public:
  void begins(const char*) override {}
  void ends(const char* call, std::error_code answer) override {
    if (!is_lawful_answer(answer)) std::fprintf(stderr, "%s answers %s\n", call, answer.message().c_str());
    require(is_lawful_answer(answer), "the answer is a lawful one");
  }
};

/// Lays {index of a word 4 bytes, the word 8 bytes} after {…} over the segment.
void lay_over(std::byte* bytes, std::size_t words, const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kPiece = 12;
  for (; size >= kPiece; data += kPiece, size -= kPiece) {
    std::uint32_t index = 0;
    std::memcpy(&index, data, sizeof index);
    std::memcpy(bytes + 8 * (index % words), data + sizeof index, 8);
  }
}

class Setting {
 public:
  Setting() {
    ::prctl(PR_SET_TIMERSLACK, 1);
    const int fd = ::open(segment_.path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    require(fd >= 0 && ::ftruncate(fd, static_cast<off_t>(image_.bytes.size())) == 0, "the object can be made");
    void* memory = ::mmap(nullptr, image_.bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    require(memory != MAP_FAILED, "the object can be mapped");
    bytes_ = static_cast<std::byte*>(memory);
  }

  void play(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return;
    const bool attached = data[0] % 2 == 1;    // or a newcomer
    const auto damage = [&] { lay_over(bytes_, image_.bytes.size() / 8, data + 1, size - 1); };
    std::memcpy(bytes_, image_.bytes.data(), image_.bytes.size());
    if (!attached) damage();
    Judge judge;
    Calls(image_, segment_.name(), judge).make(attached ? damage : std::function<void()>{});
  }

 private:
  const Image image_ = make_image({.slots = 16, .sessions = 4, .max_signature = 16, .max_signee = 16});
  const ScratchSegment segment_, anchor_;
  // Keeps the keeper thread running.
  const std::unique_ptr<keyrack::LockService> anchored_ =
      keyrack::open_lock_service(anchor_.url("slots=1&sessions=1")).value();
  std::byte* bytes_ = nullptr;
};

}    // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Setting setting;
  setting.play(data, size);
  return 0;
}
