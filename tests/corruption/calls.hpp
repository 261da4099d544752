// Every call there is, made on a segment whose bytes make no sense; what it may answer.
#pragma once

#include "image.hpp"

#include <keyrack/keyrack.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <system_error>

namespace keyrack::tests {

/// Told of each call before it is made, and of its answer.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void begins(const char* call) = 0;
  virtual void ends(const char* call, std::error_code answer) = 0;
};

/// May a call on a corrupt segment answer so? Success, `corrupt_segment`, and what it answers on good ones.
bool is_lawful_answer(std::error_code);

class Calls {
 public:
  Calls(const Image& image, std::string segment, CallObserver& observer)
      : image_(image), segment_(std::move(segment)), observer_(observer) {}

  /// Opens, makes every call and closes. `damage` is done between opening and the first call: to a segment that is in
  /// use. Nothing is thrown: what escapes a call is told as an answer that is not lawful.
  void make(const std::function<void()>& damage);

 private:
  void become_known(LockService*, NameManager*);
  void look(Inspector*);
  void lock(LockService*);
  void name(NameManager*);
  void crowd(LockService*);    // with more new keys than a small table has room for

  template <class Call>
  void one(const char* name, Call&& call);

  const Image& image_;
  const std::string segment_;
  CallObserver& observer_;
};

}    // namespace keyrack::tests
