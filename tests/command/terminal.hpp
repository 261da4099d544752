// A program with a terminal of its own, whose screen can be looked at: what the program writes goes to a
// pseudo-terminal and from there to libvterm.
#pragma once

#include "harness.hpp"

#include <termios.h>
#include <vterm.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace keyrack::command_test {

class OnTerminal {
 public:
  struct Setting {
    int rows = 40, columns = 200;
    Words environment = {};    ///< NAME=VALUE
    bool shell = false;        ///< a process between, as a shell is: what is stopped can go on
  };

  OnTerminal(const Words& words, const std::string& url, const Setting& setting);
  OnTerminal(const Words& words, const std::string& url) : OnTerminal(words, url, Setting()) {}
  ~OnTerminal();
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  pid_t pid() const { return pid_; }
  void type(const std::string& keys) const;
  void signal(int number) const;
  void resize(int rows, int columns);
  void hang_up();    ///< the terminal is gone

  /// All bytes that have come so far.
  const std::string& written();
  /// What there is to be seen now, without blanks at the ends of lines.
  std::vector<std::string> lines();
  std::string screen();
  bool shows(const std::string& part);    ///< eventually
  bool has_colours();                     ///< is anything in another colour than the usual?
  bool has_own_screen();                  ///< the alternate one, that leaves what was there as it was
  bool shows_cursor();

  termios modes() const;
  const termios& modes_before() const { return before_; }
  void set_modes(const termios&) const;

  bool is_stopped();    ///< eventually
  /// Its exit status, 128 and the signal that killed it.
  int wait();

 private:
  void take();

  struct Free {
    void operator()(VTerm* terminal) const { ::vterm_free(terminal); }
  };

  int master_ = -1, slave_ = -1;
  int rows_, columns_;
  pid_t pid_ = -1, child_ = -1;    // the same, but for a shell
  std::unique_ptr<VTerm, Free> terminal_;
  VTermScreen* screen_ = nullptr;
  bool own_screen_ = false, cursor_ = true;
  termios before_{};
  std::string written_;
  std::optional<int> status_;
};

/// Are the modes of a terminal the same?
testing::AssertionResult are_equal(const termios&, const termios&);

}    // namespace keyrack::command_test
