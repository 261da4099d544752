// keyrack top: the live view of a segment.
#include "child.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "services.hpp"
#include "words.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace keyrack::command {
namespace {

using std::chrono::steady_clock;

struct TopOptions {
  std::optional<std::chrono::nanoseconds> interval;
  std::optional<std::uint64_t> batch;
};

/// The keyboard key by key and without echo while this lives; its destructor puts the terminal back. Does nothing where
/// standard input is no terminal.
class Keyboard {
 public:
  Keyboard() : present_(::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!present_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
  }
  ~Keyboard() {
    if (present_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Keyboard(const Keyboard&) = delete;
  Keyboard& operator=(const Keyboard&) = delete;

  bool present() const { return present_; }

 private:
  termios before_{};
  bool present_;
};

/// True when the wait was ended by q or by a signal that asks to end.
bool is_asked_to_end(const Signals& signals, int signals_ready, bool keyboard, steady_clock::time_point until) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - steady_clock::now()).count();
    if (left <= 0) return false;
    std::array<pollfd, 2> ready = {{{signals_ready, POLLIN, 0}, {keyboard ? STDIN_FILENO : -1, POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), static_cast<int>(std::min<std::int64_t>(left, 1'000'000))) <= 0) continue;
    const auto signal = ready[0].revents != 0 ? signals.next(std::chrono::nanoseconds::zero()) : std::nullopt;
    if (signal && signal->si_signo != SIGCHLD) return true;
    char key = 0;
    if (ready[1].revents != 0 && (::read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')) return true;
  }
}

/// How many lines each of the two lists may have.
std::size_t lines_per_list(bool full_screen) {
  constexpr std::size_t kMost = 10, kOthers = 9;
  winsize size{};
  if (!full_screen || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row <= kOthers) return kMost;
  return std::clamp<std::size_t>((size.ws_row - kOthers) / 2, 1, kMost);
}

void write_rates(Output& output, const Counters& now, const Counters* before, std::chrono::duration<double> elapsed) {
  output.print("{}", before != nullptr ? "per second:" : "since it was made:");
  for (const Counter& counter : kCounters) {
    if (before == nullptr) {
      output.print(" {} {}", counter.name, now.*counter.value);
    } else {
      const auto difference = static_cast<double>(now.*counter.value - before->*counter.value);
      output.print(" {} {:.1f}", counter.name, difference / elapsed.count());
    }
  }
  output.print("\n");
}

void write_lists(Output& output, std::vector<LockPicture>& locks, std::size_t most) {
  const auto write = [&](std::string_view title, auto&& is_shown, auto&& is_before) {
    const auto end = std::partition(locks.begin(), locks.end(), is_shown);
    const auto shown = std::min(most, static_cast<std::size_t>(end - locks.begin()));
    const auto last = locks.begin() + static_cast<std::ptrdiff_t>(shown);
    std::partial_sort(locks.begin(), last, end, is_before);
    Table table({{title}, {"SIGNEE"}, {"PID", true}, {"STATE"}, {"HELD", true}, {"WAITERS", true}});
    for (auto lock = locks.begin(); lock != last; ++lock) {
      table.cell(lock->signature);
      table.cell(lock->signee);
      table.cell(lock->pid);
      table.cell(to_string(lock->state), colour_of(lock->state));
      table.cell(lock->held_for ? people(*lock->held_for) : "");
      table.cell(lock->waiters);
    }
    output.print("\n");
    table.write(output);
  };
  write(
      "LONGEST HELD", [](const LockPicture& lock) { return lock.held_for.has_value(); },
      [](const LockPicture& a, const LockPicture& b) { return a.held_for > b.held_for; });
  write(
      "MOST WAITED FOR", [](const LockPicture& lock) { return lock.waiters > 0; },
      [](const LockPicture& a, const LockPicture& b) { return a.waiters > b.waiters; });
}

int top(const CommandLine& line, const TopOptions& options) {
  const auto interval = options.interval.value_or(std::chrono::seconds(1));
  if (interval <= std::chrono::nanoseconds::zero()) return complain(kUsage, "--interval must be longer than nothing");
  int status = kDone;
  const auto inspector = open_inspector_of(line, "top", status);
  if (!inspector) return status;

  const Signals signals;
  const int signals_ready = ::signalfd(-1, &signals.kept(), SFD_CLOEXEC);
  if (signals_ready < 0) return complain(kFailure, "cannot watch for signals: {}", std::strerror(errno));
  Output output;
  const bool full_screen = output.is_terminal() && !options.batch;
  std::optional<Keyboard> keyboard;
  if (full_screen) keyboard.emplace();

  std::optional<Counters> before;
  steady_clock::time_point before_at;
  for (std::uint64_t left = options.batch.value_or(0);; --left) {
    auto snapshot = inspector->snapshot();
    const auto now = steady_clock::now();
    if (!snapshot) return fail(line.url, snapshot.error());
    const auto held = std::count_if(snapshot->locks.begin(), snapshot->locks.end(),
                                    [](const LockPicture& lock) { return lock.state == LockState::held; });
    if (full_screen) output.print("\033[H\033[2J");
    output.print("{}  {}\n", iso_time(snapshot->taken_until), describe(snapshot->segment));
    output.print("locks held {}, waiting {}\n", held, snapshot->waiters.size());
    write_rates(output, snapshot->counters, before ? &*before : nullptr, now - before_at);
    write_lists(output, snapshot->locks, lines_per_list(full_screen));
    output.print("{}", full_screen ? "" : "\n");
    output.drain();
    before = snapshot->counters;
    before_at = now;
    const bool last = options.batch && left <= 1;
    if (last || is_asked_to_end(signals, signals_ready, keyboard && keyboard->present(), now + interval))
      return output.finish();
  }
}

}    // namespace

void add_top(CommandLine& line) {
  auto [command, options] = add_command("top", "the live view: rates, longest held, most waited for; q ends it",
                                        "keyrack top --interval 500ms", line, top);
  command.add_duration("--interval", options->interval, "time between two pictures, else 1s");
  command.add("--batch", options->batch, "so many pictures as plain text, then end").positive();
}

}    // namespace keyrack::command
