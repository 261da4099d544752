// Where one scenario is played: a call is made while something fails, and judged.
#pragma once

#include "scratch_segment.hpp"

#include <keyrack/keyrack.hpp>
#include <keyrack/testing/outcome.hpp>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <system_error>

namespace keyrack::tests {

/// What a process has of the system's: nothing of it may be lost when a call fails.
struct Possessions {
  std::size_t files = 0, mappings = 0, threads = 0;
  friend bool operator==(const Possessions&, const Possessions&) = default;
  static Possessions now();
  std::string text() const;
};

/// How a call ended.
struct Answer {
  std::error_code code;
  std::optional<std::string> detail;    // of an OpenError

  template <class T>
  static Answer of(const Result<T, OpenError>& result) {
    return result ? Answer{} : Answer{result.error().code, result.error().detail};
  }
  template <class T, class E>
  static Answer of(const Result<T, E>& result) {
    return {result ? std::error_code{} : std::error_code(result.error()), {}};
  }
  static Answer of(std::error_code code) { return {code, {}}; }
};

/// What is made to fail between begin and end.
struct Failing {
  std::function<void()> begin, end;
};

/// The verdict of a scenario, in memory that the tracing process shares.
struct Verdict {
  std::array<char, 512> fault;           // empty: none
  std::array<char, 64> answer, again;    // of the call while something failed, and once more
  std::size_t allocations;               // made between begin and end
};

class Stage {
 public:
  /// `usual`: the verdict when nothing fails; null while that is found out.
  Stage(const ScratchSegment& its_segment, const Failing& failing, Verdict& verdict, const Verdict* usual)
      : segment(its_segment), failing_(failing), verdict_(verdict), usual_(usual) {}

  const ScratchSegment& segment;

  /// Makes the call while something fails, and judges the answer; then once more while nothing does. `call` gives a
  /// Result or an error code; it is to undo what an earlier one has left.
  template <class Call>
  void act(Call&& call) {
    const Possessions before = Possessions::now();
    std::optional<decltype(call())> result;
    bool escaped = false;
    failing_.begin();
    try {
      result.emplace(call());
    } catch (...) {
      escaped = true;
    }
    failing_.end();
    if (escaped) {
      fault("an exception escaped");
    } else {
      judge(Answer::of(*result), before);
    }
    result.reset();
    judge_again(Answer::of(call()));
  }

  /// The service keeps its session, and the thread for it, also when the call fails after it was taken.
  void keeps_session() { keeps_session_ = true; }

  /// Something is wrong that the answer does not show.
  void fault(const std::string& what);

 private:
  void judge(const Answer&, const Possessions& before);
  void judge_again(const Answer&);

  const Failing& failing_;
  Verdict& verdict_;
  const Verdict* usual_;
  bool keeps_session_ = false;
};

}    // namespace keyrack::tests
