// Pseudo-terminals, and what libvterm makes of the bytes.
#include "terminal.hpp"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

namespace keyrack::command_test {
namespace {

int status_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/// What a shell does: the program gets a process group of its own, in front. Only in the program does this return.
void put_shell_between(int report) {
  const pid_t pid = ::fork();
  if (pid != 0) {
    (void)!::write(report, &pid, sizeof pid);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    ::_exit(status_of(status));
  }
  ::setpgid(0, 0);
  ::signal(SIGTTOU, SIG_IGN);
  ::tcsetpgrp(STDIN_FILENO, ::getpid());
  ::signal(SIGTTOU, SIG_DFL);
}

std::size_t last_visible(const std::string& text) { return text.find_last_not_of(' ') + 1; }

}    // namespace

OnTerminal::OnTerminal(const Words& words, const std::string& url, const Setting& setting)
    : rows_(setting.rows), columns_(setting.columns), terminal_(::vterm_new(rows_, columns_)) {
  ::vterm_set_utf8(terminal_.get(), 1);
  screen_ = ::vterm_obtain_screen(terminal_.get());
  static const VTermScreenCallbacks kCallbacks = [] {
    VTermScreenCallbacks callbacks{};
    callbacks.settermprop = [](VTermProp property, VTermValue* value, void* self) {
      if (property == VTERM_PROP_ALTSCREEN) static_cast<OnTerminal*>(self)->own_screen_ = value->boolean != 0;
      if (property == VTERM_PROP_CURSORVISIBLE) static_cast<OnTerminal*>(self)->cursor_ = value->boolean != 0;
      return 1;
    };
    return callbacks;
  }();
  ::vterm_screen_set_callbacks(screen_, &kCallbacks, this);
  ::vterm_screen_enable_altscreen(screen_, 1);
  ::vterm_screen_reset(screen_, 1);

  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const winsize size{.ws_row = static_cast<unsigned short>(rows_),
                     .ws_col = static_cast<unsigned short>(columns_),
                     .ws_xpixel = 0,
                     .ws_ypixel = 0};
  if (::openpty(&master_, &slave_, nullptr, nullptr, &size) != 0) throw std::runtime_error("openpty");
  ::tcgetattr(slave_, &before_);
  ::fcntl(master_, F_SETFL, O_NONBLOCK);
  ::fcntl(master_, F_SETFD, FD_CLOEXEC);
  ::fcntl(slave_, F_SETFD, FD_CLOEXEC);
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  child_ = pid_ = ::fork();
  if (pid_ == 0) {
    ::login_tty(::fcntl(slave_, F_DUPFD, 0));
    if (setting.shell) put_shell_between(report[1]);
    ::setenv("KEYRACK_URL", url.c_str(), 1);
    ::setenv("TERM", "xterm-256color", 1);
    for (const char* name : {"NO_COLOR", "COLUMNS", "LINES"}) ::unsetenv(name);
    for (const std::string& variable : setting.environment) ::putenv(const_cast<char*>(variable.c_str()));
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(report[1]);
  if (setting.shell && ::read(report[0], &pid_, sizeof pid_) != sizeof pid_) throw std::runtime_error("no shell");
  ::close(report[0]);
}

OnTerminal::~OnTerminal() {
  if (!status_) {
    if (pid_ != child_) ::kill(pid_, SIGKILL);
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  if (master_ >= 0) ::close(master_);
  ::close(slave_);
}

void OnTerminal::type(const std::string& keys) const {
  ASSERT_EQ(::write(master_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
}

void OnTerminal::signal(int number) const { ASSERT_EQ(::kill(pid_, number), 0); }

void OnTerminal::resize(int rows, int columns) {
  take();    // what comes from now on is for the new size, or soon will be
  rows_ = rows;
  columns_ = columns;
  ::vterm_set_size(terminal_.get(), rows, columns);
  winsize size{};
  size.ws_row = static_cast<unsigned short>(rows);
  size.ws_col = static_cast<unsigned short>(columns);
  ASSERT_EQ(::ioctl(master_, TIOCSWINSZ, &size), 0);
}

void OnTerminal::hang_up() {
  ::close(master_);
  master_ = -1;
}

void OnTerminal::take() {
  std::array<char, 4096> piece{};
  for (ssize_t got = 0; master_ >= 0 && (got = ::read(master_, piece.data(), piece.size())) > 0;) {
    const auto bytes = static_cast<std::size_t>(got);
    written_.append(piece.data(), bytes);
    ::vterm_input_write(terminal_.get(), piece.data(), bytes);
  }
}

const std::string& OnTerminal::written() {
  take();
  return written_;
}

std::vector<std::string> OnTerminal::lines() {
  take();
  std::vector<std::string> lines;
  for (int row = 0; row < rows_; ++row) {
    std::string line(static_cast<std::size_t>(columns_) * 16, '\0');
    const VTermRect rect = {.start_row = row, .end_row = row + 1, .start_col = 0, .end_col = columns_};
    line.resize(::vterm_screen_get_text(screen_, line.data(), line.size(), rect));
    line.resize(last_visible(line));
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string OnTerminal::screen() {
  std::string text;
  for (const std::string& line : lines()) text += line + "\n";
  return text;
}

bool OnTerminal::shows(const std::string& part) {
  return eventually([&] { return contains(screen(), part); });
}

bool OnTerminal::has_colours() {
  take();
  for (int row = 0; row < rows_; ++row) {
    for (int column = 0; column < columns_; ++column) {
      VTermScreenCell cell{};
      ::vterm_screen_get_cell(screen_, {.row = row, .col = column}, &cell);
      if (!VTERM_COLOR_IS_DEFAULT_FG(&cell.fg) || !VTERM_COLOR_IS_DEFAULT_BG(&cell.bg)) return true;
    }
  }
  return false;
}

bool OnTerminal::has_own_screen() {
  take();
  return own_screen_;
}

bool OnTerminal::shows_cursor() {
  take();
  return cursor_;
}

termios OnTerminal::modes() const {
  termios now{};
  EXPECT_EQ(::tcgetattr(slave_, &now), 0);
  return now;
}

void OnTerminal::set_modes(const termios& modes) const { ASSERT_EQ(::tcsetattr(slave_, TCSANOW, &modes), 0); }

bool OnTerminal::is_stopped() {
  return eventually([&] {
    take();
    std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
    const std::string stat{std::istreambuf_iterator<char>(file), {}};
    const auto name_end = stat.rfind(')');
    return name_end != std::string::npos && stat.compare(name_end, 3, ") T") == 0;
  });
}

int OnTerminal::wait() {
  EXPECT_TRUE(eventually([&] {
    take();    // a full terminal would stop it
    int status = 0;
    if (::waitpid(child_, &status, WNOHANG) != child_) return false;
    status_ = status_of(status);
    return true;
  })) << "still running; so far it shows: "
      << screen();
  return status_.value_or(-1);
}

testing::AssertionResult are_equal(const termios& a, const termios& b) {
  if (a.c_iflag != b.c_iflag) return testing::AssertionFailure() << "input modes differ";
  if (a.c_oflag != b.c_oflag) return testing::AssertionFailure() << "output modes differ";
  if (a.c_cflag != b.c_cflag) return testing::AssertionFailure() << "control modes differ";
  if (a.c_lflag != b.c_lflag) return testing::AssertionFailure() << "local modes differ";
  if (std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) != 0) return testing::AssertionFailure() << "characters differ";
  return testing::AssertionSuccess();
}

}    // namespace keyrack::command_test
