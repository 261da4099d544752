// A lock as a mutex, over whatever engine the service has for it.
#include <keyrack/named_mutex.hpp>

#include <utility>

namespace keyrack {

using std::chrono::steady_clock;

namespace {
bool is_held(const Refusal& refusal) { return refusal.code == Errc::forbidden || refusal.code == Errc::timed_out; }
}    // namespace

NamedMutex::NamedMutex(LockService& service, std::string_view signature, LockOptions options)
    : engine_(service.make_mutex(signature, options)) {}

NamedMutex::~NamedMutex() {
  if (token_ != 0) unlock();    // nobody else could
}

void NamedMutex::lock_by_asking() { token_ = engine_->lock_until(steady_clock::time_point::max()).value(); }

void NamedMutex::lock() {
  if (const std::uint64_t token = engine_->lock_again()) [[likely]] {
    token_ = token;
  } else {
    lock_by_asking();
  }
}

bool NamedMutex::try_lock() {
  const auto token = engine_->lock_until(steady_clock::time_point::min());
  if (!token && (is_held(token.error()) || token.error().code == Errc::would_deadlock)) return false;
  token_ = token.value();
  return true;
}

bool NamedMutex::lock_by(steady_clock::time_point when) {
  const auto token = engine_->lock_until(when);
  if (!token && is_held(token.error())) return false;
  token_ = token.value();
  return true;
}

// The token first: once the engine has it, another user of this object may be writing its own.
void NamedMutex::unlock() { engine_->unlock(std::exchange(token_, 0)); }

}    // namespace keyrack
