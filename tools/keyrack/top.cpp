// keyrack top: the live view of a segment, on a screen or line by line.
#include "child.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "services.hpp"
#include "top_page.hpp"
#include "top_picture.hpp"
#include "top_screen.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace keyrack::command {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

struct TopOptions {
  std::optional<nanoseconds> interval;
  std::optional<std::uint64_t> batch;
  Filter filter;
  std::string sort = std::string(to_string(Order::held));
};

Order order_of(const std::string& name) {
  std::size_t order = 0;
  while (to_string(static_cast<Order>(order)) != name) ++order;
  return static_cast<Order>(order);
}

/// Looks at a segment again and again, and at whichever has its name then.
class Viewer {
 public:
  Viewer(std::string name, std::unique_ptr<Inspector> inspector)
      : name_(std::move(name)), inspector_(std::move(inspector)) {}

  Result<TopPicture> look() {
    auto current = open_inspector(name_);
    if (!current && current.error().code != Errc::no_segment) return current.error().code;
    const bool is_removed = !current;
    if (current) inspector_ = *std::move(current);
    const auto now = steady_clock::now();
    auto snapshot = inspector_->snapshot(true);
    if (!snapshot) return snapshot.error();
    Earlier earlier(*snapshot);
    TopPicture picture = compare(before_ ? &*before_ : nullptr, *std::move(snapshot), now - before_at_);
    picture.is_removed = is_removed;
    before_ = std::move(earlier);
    before_at_ = now;
    return picture;
  }

 private:
  std::string name_;
  std::unique_ptr<Inspector> inspector_;
  std::optional<Earlier> before_;
  steady_clock::time_point before_at_;
};

/// Signals and keys, whatever comes first.
class Events {
 public:
  explicit Events(const Signals& signals) : file_(::signalfd(-1, &signals.kept(), SFD_CLOEXEC)) {
    if (file_ < 0) throw std::system_error(errno, std::generic_category(), "watching for signals");
  }
  ~Events() { ::close(file_); }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  /// Until something comes, or the time has; no limit without one. False: the keyboard is gone.
  bool wait(bool keyboard, std::optional<steady_clock::time_point> until) const {
    std::array<pollfd, 2> ready = {{{file_, POLLIN, 0}, {keyboard ? STDIN_FILENO : -1, POLLIN, 0}}};
    constexpr std::int64_t kLongest = 1'000'000;    // ms; the caller comes again
    std::int64_t left = -1;
    if (until) {
      left = std::chrono::ceil<std::chrono::milliseconds>(*until - steady_clock::now()).count();
      left = std::clamp<std::int64_t>(left, 0, kLongest);
    }
    ::poll(ready.data(), ready.size(), static_cast<int>(left));
    return (ready[1].revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
  }

 private:
  int file_;
};

/// The shell's turn, until it lets us go on.
void stop_for_a_while(Screen& screen) {
  screen.leave();
  struct sigaction usual = {};
  usual.sa_handler = SIG_DFL;
  ::sigaction(SIGTSTP, &usual, nullptr);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);
  ::pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);    // stands still here
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  screen.enter();
}

/// False: it asks to end.
bool obey(int signal, Screen& screen) {
  if (signal == SIGTSTP) {
    stop_for_a_while(screen);
  } else if (signal == SIGCONT) {
    screen.enter();    // a stop that could not be foreseen: the shell has had the terminal meanwhile
  } else if (signal == SIGWINCH) {
    screen.resize();
  } else {
    return signal == SIGCHLD;
  }
  return true;
}

/// Empty once it was asked to end.
std::error_code show_live(Viewer& viewer, View view, nanoseconds interval, bool colours) {
  const Signals signals({SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH});
  const Events events(signals);
  Screen screen(colours);
  TopPicture picture;
  steady_clock::time_point next;
  while (true) {
    if (!view.is_paused && steady_clock::now() >= next) {
      auto seen = viewer.look();
      if (!seen) return seen.error();
      picture = *std::move(seen);
      next = steady_clock::now() + interval;
    }
    const Page page = page_of(picture, view, screen.room());
    view.first = page.first;
    screen.draw(page);

    if (!events.wait(true, view.is_paused ? std::nullopt : std::optional(next))) return {};
    while (const auto signal = signals.next(nanoseconds::zero())) {
      if (!obey(signal->si_signo, screen)) return {};
    }
    while (const auto key = screen.key()) {
      if (!press(view, *key, std::max<std::size_t>(page.shown, 1))) return {};
    }
  }
}

/// One block after the other, so many of them, or until asked to end.
std::error_code print_blocks(Viewer& viewer, const Filter& filter, nanoseconds interval, std::uint64_t count,
                             Output& output) {
  const Signals signals;
  const Events events(signals);
  for (std::uint64_t done = 1;; ++done) {
    const auto picture = viewer.look();
    if (!picture) return picture.error();
    for (const Line& line : block_of(*picture, filter)) {
      for (const Span& span : line) output.paint(span.colour, span.text);
      output.print("\n");
    }
    output.print("\n");
    output.drain();
    if (output.failed() || done == count) return {};
    for (const auto next = steady_clock::now() + interval; steady_clock::now() < next;) {
      events.wait(false, next);
      while (const auto signal = signals.next(nanoseconds::zero())) {
        if (signal->si_signo != SIGCHLD) return {};
      }
    }
  }
}

int top(const CommandLine& line, const TopOptions& options) {
  constexpr nanoseconds kLongest = std::chrono::years(1);    // for the clock's sum with now
  const nanoseconds interval = std::min(options.interval.value_or(std::chrono::seconds(1)), kLongest);
  if (interval <= nanoseconds::zero()) return complain(kUsage, "--interval must be longer than nothing");
  int status = kDone;
  const auto segment = segment_of(line, "top", status);
  auto inspector = segment ? open_inspector_of(line, "top", status) : nullptr;
  if (!inspector) return status;

  Viewer viewer(segment->name, std::move(inspector));
  Output output;
  const bool live = !options.batch && Screen::is_there();
  View view;
  view.order = order_of(options.sort);
  view.filter = options.filter;
  const std::error_code error = live
                                    ? show_live(viewer, std::move(view), interval, output.has_colours())
                                    : print_blocks(viewer, options.filter, interval, options.batch.value_or(0), output);
  if (error) return fail(line, line.url, error);
  return output.finish();
}

}    // namespace

void add_top(CommandLine& line) {
  auto [command, options] =
      add_command("top", "the live view: rates, hottest keys, longest held, who waits, who died; q ends it",
                  "keyrack top --interval 500ms --filter 'job/*'", line, top);
  command.add_duration("--interval", options->interval, "time between two pictures, else 1s");
  command
      .add("--batch", options->batch,
           "so many pictures as plain text, then end; without a terminal they go on until a signal")
      .type_name("N")
      .positive();
  command.add("--filter", options->filter, "only keys that match; / changes it").type_name("GLOB");
  command.add("--sort", options->sort, "which locks come first on the screen, else held; s changes it")
      .one_of({"held", "hottest", "waiters", "key"});
}

}    // namespace keyrack::command
