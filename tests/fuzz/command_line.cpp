// Fuzz target: command lines, one word per line. They are carried out, on segments of a private /dev/shm; only what
// `run` and `hold` would start is not, and nothing waits for a signal.
#include "private_shm.hpp"
#include "target.hpp"

#include <keyrack/keyrack.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

int keyrack_command_main(int argc, char** argv);    // tools/keyrack/main.cpp, renamed

// The names are the linker's (--wrap).
extern "C" {
int __real_sigtimedwait(const sigset_t*, siginfo_t*, const timespec*);

int __wrap_execvpe(const char*, char* const*, char* const*) { ::_exit(0); }

/// When there is nothing after a moment: somebody asks the process to end.
int __wrap_sigtimedwait(const sigset_t* set, siginfo_t* info, const timespec*) {
  const timespec moment{0, 20'000'000};
  const int signal = __real_sigtimedwait(set, info, &moment);
  if (signal > 0) return signal;
  *info = {};
  info->si_signo = SIGTERM;
  return SIGTERM;
}
int __wrap_sigwaitinfo(const sigset_t* set, siginfo_t* info) { return __wrap_sigtimedwait(set, info, nullptr); }
}

namespace {

constexpr const char* kUrl = "shm://fuzz?slots=16&sessions=4&max_signature=32&max_signee=32";

void prepare() {
  enter_private_shm();
  ::setenv("KEYRACK_URL", kUrl, 1);
}

/// A segment in which somebody has something. Nothing is held for ever, so nothing is waited for in vain.
void furnish() {
  if (const auto segments = keyrack::list_segments()) {
    for (const auto& segment : *segments) (void)keyrack::remove_segment(segment.name);
  }
  const auto locks = keyrack::open_lock_service(kUrl);
  const auto names = keyrack::open_name_manager(kUrl);
  if (!locks || !names) return;
  (void)(*locks)->lock({"job", "anna"}, {.duration = std::chrono::milliseconds(1)});
  (void)(*names)->acquire("worker");
}

}    // namespace

/// Before libFuzzer starts a thread of its own, which would take the signal that `run` waits for.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  ::pthread_sigmask(SIG_BLOCK, &child, nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  [[maybe_unused]] static const bool prepared = (prepare(), true);
  std::vector<std::string> words{"keyrack"};
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    words.emplace_back(text, at, end - at);
    std::erase(words.back(), '\0');
    at = end + 1;
  }
  // The live view runs until it is told to end.
  if (words.size() > 64 || std::find(words.begin(), words.end(), "top") != words.end()) return 0;
  furnish();
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  const int status = keyrack_command_main(static_cast<int>(arguments.size()), arguments.data());
  require(status >= 0 && status <= 3, "the exit status is one of four");
  return 0;
}
