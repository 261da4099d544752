// What is different on a terminal: colours, Ctrl-C, and keyrack top.
#include "harness.hpp"

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

namespace keyrack::command_test {
namespace {

/// A program with a terminal of its own.
class OnTerminal {
 public:
  OnTerminal(Words words, const std::string& url, bool no_color = false, unsigned short columns = 200) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const winsize size{.ws_row = 40, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    if (::openpty(&master_, &slave_, nullptr, nullptr, &size) != 0) throw std::runtime_error("openpty");
    ::fcntl(master_, F_SETFL, O_NONBLOCK);
    ::fcntl(master_, F_SETFD, FD_CLOEXEC);
    ::fcntl(slave_, F_SETFD, FD_CLOEXEC);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::login_tty(::fcntl(slave_, F_DUPFD, 0));
    ::setenv("KEYRACK_URL", url.c_str(), 1);
    ::unsetenv("COLUMNS");
    no_color ? ::setenv("NO_COLOR", "1", 1) : ::unsetenv("NO_COLOR");
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  ~OnTerminal() {
    if (!status_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(master_);
    ::close(slave_);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  void type(const std::string& keys) const {
    ASSERT_EQ(::write(master_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }

  /// All that has appeared so far.
  const std::string& screen() {
    std::array<char, 4096> piece{};
    for (ssize_t got = 0; (got = ::read(master_, piece.data(), piece.size())) > 0;) {
      screen_.append(piece.data(), static_cast<std::size_t>(got));
    }
    return screen_;
  }
  bool shows(const std::string& part) {
    return eventually([&] { return contains(screen(), part); });
  }

  /// Keys go to the program one by one and without echo?
  bool is_quiet() const {
    termios now{};
    EXPECT_EQ(::tcgetattr(slave_, &now), 0);
    return (now.c_lflag & (ICANON | ECHO)) == 0;
  }

  void signal(int number) const { ASSERT_EQ(::kill(pid_, number), 0); }

  int wait() {
    EXPECT_TRUE(eventually([&] {
      (void)screen();    // a full terminal would stop it
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
      status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      return true;
    })) << "still running; so far it says: "
        << screen();
    return status_.value_or(-1);
  }

 private:
  int master_ = -1, slave_ = -1;
  pid_t pid_ = -1;
  std::string screen_;
  std::optional<int> status_;
};

class Terminal : public CommandTest {
 protected:
  void SetUp() override { ASSERT_EQ(keyrack({"lock", "job/42", "--signee", "worker-7"}).status, 0); }
};

TEST_F(Terminal, ColoursUnlessNoColor) {
  OnTerminal plain({KEYRACK_COMMAND, "dump"}, url(), true);
  EXPECT_EQ(plain.wait(), 0);
  EXPECT_TRUE(contains(plain.screen(), "job/42"));
  EXPECT_FALSE(contains(plain.screen(), "\033"));
  OnTerminal coloured({KEYRACK_COMMAND, "dump"}, url());
  EXPECT_EQ(coloured.wait(), 0);
  EXPECT_TRUE(contains(coloured.screen(), "\033[32mheld\033[0m")) << coloured.screen();
}

TEST_F(Terminal, TablesFitTheTerminal) {
  const std::string key = "caf\xc3\xa9/" + std::string(100, 'k'), signee(60, 's');
  ASSERT_EQ(keyrack({"lock", key, "--signee", signee}).status, 0);
  const auto widest = [](OnTerminal& dump) {
    EXPECT_EQ(dump.wait(), 0);
    std::size_t most = 0;
    std::istringstream lines(dump.screen());
    std::string line;
    for (std::getline(lines, line); std::getline(lines, line);) {    // the first is no row
      most = std::max<std::size_t>(
          most, std::count_if(line.begin(), line.end(), [](char c) { return c != '\r' && (c & 0xc0) != 0x80; }));
    }
    return most;
  };
  OnTerminal wide({KEYRACK_COMMAND, "dump"}, url(), true, 300);
  EXPECT_GT(widest(wide), 200u);
  EXPECT_TRUE(contains(wide.screen(), key));
  OnTerminal narrow({KEYRACK_COMMAND, "dump"}, url(), true, 100);
  EXPECT_EQ(widest(narrow), 100u) << narrow.screen();
  EXPECT_TRUE(contains(narrow.screen(), "caf\xc3\xa9/kkk")) << narrow.screen();
  EXPECT_TRUE(contains(narrow.screen(), "k…  ssss")) << narrow.screen();
  EXPECT_TRUE(contains(narrow.screen(), "job/42 ")) << "what is short is whole";
  OnTerminal told({"env", "COLUMNS=120", KEYRACK_COMMAND, "dump"}, url(), true, 300);
  EXPECT_EQ(widest(told), 120u) << told.screen();
  OnTerminal hopeless({KEYRACK_COMMAND, "dump"}, url(), true, 20);
  EXPECT_TRUE(contains((hopeless.wait(), hopeless.screen()), "/kk…")) << "numbers and states are never cut";
}

TEST_F(Terminal, InterruptReachesTheCommandOnce) {
  OnTerminal run({KEYRACK_COMMAND, "run", "a", "--", "sh", "-c",
                  "trap 'echo interrupted' INT; trap 'exit 9' TERM; echo ready; while :; do read line; done"},
                 url());
  ASSERT_TRUE(run.shows("ready"));
  // While keyrack stands still the command takes its own; a second one that keyrack passed on would then be seen.
  run.signal(SIGSTOP);
  run.type("\x03");
  ASSERT_TRUE(run.shows("interrupted"));
  run.signal(SIGTERM);
  run.signal(SIGCONT);
  EXPECT_EQ(run.wait(), 9);
  const auto first = run.screen().find("interrupted");
  EXPECT_EQ(run.screen().find("interrupted", first + 1), std::string::npos) << run.screen();
}

TEST_F(Terminal, TopShowsAndRestoresTheTerminal) {
  for (const std::string end : {"q", "\x03", "TERM"}) {
    OnTerminal top({KEYRACK_COMMAND, "top", "--interval", "20ms"}, url());
    ASSERT_TRUE(top.shows("per second:"));    // the second picture
    EXPECT_TRUE(contains(top.screen(), "\033[H\033[2J"));
    EXPECT_TRUE(contains(top.screen(), "worker-7"));
    EXPECT_TRUE(top.is_quiet());
    end == "TERM" ? top.signal(SIGTERM) : top.type(end);
    EXPECT_EQ(top.wait(), 0);
    EXPECT_FALSE(top.is_quiet());
  }
}

TEST_F(Terminal, TopWithoutOnePrintsPlainBlocks) {
  Process waiter = start({"lock", "job/42", "--signee", "other", "--wait", "1h"});
  ASSERT_TRUE(eventually([&] { return keyrack_json({"dump"}).at("waiters").size() == 1; }));
  const Ended ended = keyrack({"top", "--batch", "3", "--interval", "5ms"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  std::size_t blocks = 0;
  for (auto at = ended.out.find("LONGEST HELD"); at != std::string::npos; at = ended.out.find("LONGEST HELD", at + 1)) {
    ++blocks;
  }
  EXPECT_EQ(blocks, 3);
  EXPECT_TRUE(contains(ended.out, "locks held 1, waiting 1\n")) << ended.out;
  EXPECT_FALSE(contains(ended.out, "\033"));
  const auto waited = ended.out.find("MOST WAITED FOR");
  ASSERT_NE(waited, std::string::npos);
  EXPECT_NE(ended.out.find("job/42", waited), std::string::npos);
}

TEST_F(Terminal, TopEndsWithASignalToo) {
  Process top = start({"top", "--interval", "1h"});
  ASSERT_TRUE(eventually([&] { return contains(top.out(), "LONGEST HELD"); })) << top.err();
  top.signal(SIGINT);
  EXPECT_EQ(top.wait(), 0);
}

}    // namespace
}    // namespace keyrack::command_test
