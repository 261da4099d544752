// ncurses is used for what it knows of terminals; what is drawn comes as a page.
#include "top_screen.hpp"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <system_error>

#define NCURSES_NOMACROS 1
#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <term.h>
#undef lines    // one of the many macros of term.h

namespace keyrack::command {
namespace {

/// What puts the terminal back when nothing but system calls can be made any more. The strings of all terminals known
/// are far shorter.
struct Rescue {
  std::atomic<bool> is_due = false;
  termios modes{};
  std::array<char, 512> text{};
  std::size_t length = 0;
  std::array<struct sigaction, NSIG> before{};
};
Rescue rescue;

/// Those that end a process. Some may be waited for (SIGINT, SIGTERM and the like), and then do not come here.
constexpr std::array kEnds = {SIGABRT, SIGALRM, SIGBUS,    SIGFPE,  SIGHUP, SIGILL,  SIGINT,
                              SIGPIPE, SIGPROF, SIGQUIT,   SIGSEGV, SIGSYS, SIGTERM, SIGTRAP,
                              SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ};

/// In a signal handler.
void put_back() {
  if (!rescue.is_due.exchange(false)) return;
  (void)!::write(STDOUT_FILENO, rescue.text.data(), rescue.length);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &rescue.modes);
}

void on_end(int signal) {
  const int error = errno;
  put_back();
  ::sigaction(signal, &rescue.before[static_cast<std::size_t>(signal)], nullptr);
  ::raise(signal);    // comes once this returns
  errno = error;
}

int keep(int character) {
  if (rescue.length < rescue.text.size()) rescue.text[rescue.length++] = static_cast<char>(character);
  return character;
}

/// What the terminal of TERM can do; nullptr for what it cannot.
class Terminfo {
 public:
  Terminfo() : is_known_(::setupterm(nullptr, STDOUT_FILENO, &error_) == OK) {}
  ~Terminfo() {
    if (is_known_) ::del_curterm(::cur_term);
  }
  Terminfo(const Terminfo&) = delete;
  Terminfo& operator=(const Terminfo&) = delete;

  const char* text(const char* name) const {
    const char* text = is_known_ ? ::tigetstr(name) : nullptr;
    return reinterpret_cast<std::intptr_t>(text) == -1 ? nullptr : text;
  }

 private:
  int error_ = 0;
  bool is_known_;
};

void prepare_rescue() {
  const Terminfo terminal;
  ::tcgetattr(STDIN_FILENO, &rescue.modes);
  rescue.length = 0;
  for (const char* name : {"sgr0", "op", "rmkx", "cnorm", "rmcup"}) {
    if (const char* text = terminal.text(name)) ::tputs(text, 1, keep);
  }
}

void watch_for_ends() {
  struct sigaction action = {};
  action.sa_handler = on_end;
  for (const int signal : kEnds) {
    struct sigaction& before = rescue.before[static_cast<std::size_t>(signal)];
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);
  }
}

void stop_watching() {
  for (const int signal : kEnds) ::sigaction(signal, &rescue.before[static_cast<std::size_t>(signal)], nullptr);
}

attr_t attributes_of(Colour colour, bool colours) {
  if (colour == Colour::bold) return A_BOLD;
  return colours && colour != Colour::plain ? static_cast<attr_t>(COLOR_PAIR(static_cast<int>(colour))) : A_NORMAL;
}

}    // namespace

bool Screen::is_there() {
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 && Terminfo().text("cup") != nullptr;
}

void Screen::End::operator()(void* screen) const {
  ::endwin();
  rescue.is_due = false;
  ::delscreen(static_cast<SCREEN*>(screen));
  stop_watching();
}

Screen::Screen(bool colours) {
  prepare_rescue();
  watch_for_ends();
  rescue.is_due = true;
  ::use_tioctl(true);    // not COLUMNS and LINES, which stay as they were when the window changes
  screen_.reset(::newterm(nullptr, stdout, stdin));
  if (screen_ == nullptr) {
    rescue.is_due = false;
    stop_watching();
    throw std::system_error(ENOTTY, std::generic_category(), "drawing on the terminal");
  }
  ::cbreak();
  ::noecho();
  ::keypad(stdscr, true);
  ::nodelay(stdscr, true);
  ::set_escdelay(25);    // ms between Escape and what would make another key of it
  ::curs_set(0);
  colours_ = colours && ::has_colors() && ::start_color() == OK && ::use_default_colors() == OK;
  if (!colours_) return;
  const auto define = [](Colour colour, int as) {
    ::init_pair(static_cast<short>(colour), static_cast<short>(as), -1);
  };
  define(Colour::green, COLOR_GREEN);
  define(Colour::yellow, COLOR_YELLOW);
  define(Colour::red, COLOR_RED);
}

Screen::~Screen() = default;

Room Screen::room() const {
  return {static_cast<std::size_t>(std::max(::getmaxy(stdscr), 0)),
          static_cast<std::size_t>(std::max(::getmaxx(stdscr), 0))};
}

void Screen::draw(const Page& page) {
  ::werase(stdscr);
  int row = 0;
  for (const Line& line : page.lines) {
    ::wmove(stdscr, row++, 0);
    for (const Span& span : line) {
      ::wattrset(stdscr, static_cast<int>(attributes_of(span.colour, colours_)));
      ::waddnstr(stdscr, span.text.data(), static_cast<int>(span.text.size()));
    }
  }
  ::curs_set(page.cursor_at ? 1 : 0);
  if (page.cursor_at) ::wmove(stdscr, row - 1, static_cast<int>(*page.cursor_at));
  ::wrefresh(stdscr);
}

std::optional<Key> Screen::key() {
  wint_t pressed = 0;
  const int kind = ::wget_wch(stdscr, &pressed);
  if (kind == ERR) return std::nullopt;
  if (kind != KEY_CODE_YES) {
    if (pressed == '\n' || pressed == '\r') return kEnter;
    if (pressed == '\b' || pressed == 0x7f) return kBackspace;
    return pressed;
  }
  constexpr std::array<std::pair<int, Key>, 7> kNamed = {{{KEY_UP, kUp},
                                                          {KEY_DOWN, kDown},
                                                          {KEY_PPAGE, kPageUp},
                                                          {KEY_NPAGE, kPageDown},
                                                          {KEY_HOME, kHome},
                                                          {KEY_ENTER, kEnter},
                                                          {KEY_BACKSPACE, kBackspace}}};
  for (const auto& [code, key] : kNamed) {
    if (pressed == static_cast<wint_t>(code)) return key;
  }
  return Key{};    // one that means nothing here
}

void Screen::resize() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return;
  ::resizeterm(size.ws_row, size.ws_col);
  ::clearok(curscr, true);
}

void Screen::leave() {
  ::endwin();
  rescue.is_due = false;
}

void Screen::enter() {
  rescue.is_due = true;
  ::endwin();    // so that the next draw() sets all modes anew
  resize();
}

}    // namespace keyrack::command
