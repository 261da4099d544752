#include "watchdog.hpp"

#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace keyrack::crash {

namespace {

// What the signal handler knows. It counts seconds: those in which this process itself stands still are one.
std::atomic<int> stopped{-1}, seconds{0}, words_fd{-1};
std::atomic<const char*> last_words{""};

void tick(int) {
  const std::int64_t now = ++seconds;
  if (now == kWaitLimit.count() && stopped >= 0) {
    ::syscall(SYS_pidfd_send_signal, stopped.load(), SIGCONT, nullptr, 0);
  } else if (now == kRestLimit.count()) {
    const char* words = last_words;
    (void)!::write(words_fd, words, std::strlen(words));
    ::_exit(3);
  }
}

void set_timer(std::chrono::seconds every) {
  const itimerval timer{{every.count(), 0}, {every.count(), 0}};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

}    // namespace

Watchdog::Watchdog(int stopped_process) {
  stopped = stopped_process;
  seconds = 0;
  std::signal(SIGALRM, tick);
  set_timer(std::chrono::seconds(1));
}

Watchdog::~Watchdog() { set_timer(std::chrono::seconds(0)); }

bool Watchdog::has_barked() const { return stopped >= 0 && seconds >= kWaitLimit.count(); }

void set_last_words(int fd, const char* words) {
  words_fd = fd;
  last_words = words;
}

}    // namespace keyrack::crash
