// Sees to it that a call that waits for ever is reported and does not end the harness.
#pragma once

#include <chrono>

namespace keyrack::crash {

inline constexpr std::chrono::seconds kWaitLimit{10};     // a call that takes longer has waited for somebody
inline constexpr std::chrono::seconds kRestLimit{300};    // an audit that takes longer does not end

/// While it lives, the process known by that descriptor (-1: none) is continued when the limit is over, so that whoever
/// waits for it comes back. When the limit of rest is over, this process ends, after saying what it was doing.
class Watchdog {
 public:
  explicit Watchdog(int stopped_process = -1);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// Has the limit been over?
  bool has_barked() const;
};

/// What to say, and where to, when the worst comes to the worst.
void set_last_words(int fd, const char* words);

}    // namespace keyrack::crash
