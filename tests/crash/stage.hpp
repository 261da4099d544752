// What the processes of one run share: where each of them stands, what its call came to, the tokens that were granted.
#pragma once

#include "os/clock.hpp"
#include "os/futex.hpp"

#include <sys/types.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace keyrack::crash {

inline constexpr std::chrono::seconds kPatience{600};    // with what must happen, on a machine that is busy

template <std::size_t Room>
struct Text {
  std::array<char, Room> bytes{};

  void set(std::string_view text) { bytes.at(text.copy(bytes.data(), Room - 1)) = 0; }
  std::string get() const { return bytes.data(); }
};

/// One process's way through a run.
struct Stage {
  enum At : std::uint32_t { away, ready, go, done };

  os::FutexWord at{away};
  std::atomic<pid_t> pid{0};
  Text<64> outcome{};

  void reset() {
    at.store(away);
    pid.store(0);
    outcome.set("");
  }
  void reach(At where) {
    at.store(where);
    os::futex_wake(at, 64);
  }
  /// False when it takes longer than that.
  bool await(At where, std::chrono::nanoseconds patience = kPatience) const {
    const std::int64_t until_ns = os::monotonic_ns() + patience.count();
    auto& word = const_cast<os::FutexWord&>(at);
    for (std::uint32_t seen = word.load(); seen < where; seen = word.load()) {
      if (os::monotonic_ns() >= until_ns) return false;
      os::futex_sleep({&word, seen}, nullptr, until_ns, 0);
    }
    return true;
  }
};

/// A token that somebody was granted for a key; 0 until the key is written.
struct Note {
  Text<24> key;
  std::atomic<std::uint64_t> token{0};
};

struct Notes {
  std::atomic<std::uint32_t> count{0};
  std::array<Note, 512> all{};

  void reset() {
    for (std::uint32_t i = 0; i < count; ++i) all.at(i).token = 0;
    count = 0;
  }
  void add(std::string_view key, std::uint64_t token) {
    Note& note = all.at(count.fetch_add(1));    // more than there is room for is a fault of the harness
    note.key.set(key);
    note.token = token;
  }
  /// The highest token that was noted of each key.
  std::map<std::string, std::uint64_t> highest() const {
    std::map<std::string, std::uint64_t> tokens;
    for (std::uint32_t i = 0; i < count; ++i) {
      const Note& note = all.at(i);
      if (note.token == 0) continue;    // killed as it was noted
      std::uint64_t& token = tokens[note.key.get()];
      token = std::max(token, note.token.load());
    }
    return tokens;
  }
};

struct Board {
  Stage victim, helper;
  Notes notes;

  void reset() {
    victim.reset();
    helper.reset();
    notes.reset();
  }
};

}    // namespace keyrack::crash
