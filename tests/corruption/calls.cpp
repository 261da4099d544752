#include "calls.hpp"

#include "segment_fixture.hpp"

#include <chrono>
#include <exception>
#include <mutex>
#include <optional>
#include <type_traits>
#include <vector>

namespace keyrack::tests {

namespace {

using std::chrono::microseconds;

constexpr microseconds kShortWait{40};

/// What escaped a call that does not throw.
class Escaped final : public std::error_category {
 public:
  const char* name() const noexcept override { return "escaped"; }
  std::string message(int) const override { return "an exception escaped"; }
  static std::error_code code() {
    static const Escaped category;
    return {1, category};
  }
};

template <class T, class E>
std::error_code code_of(const Result<T, E>& answer) {
  return answer ? std::error_code{} : std::error_code(answer.error());
}
std::error_code code_of(std::error_code code) { return code; }

}    // namespace

bool is_lawful_answer(std::error_code answer) {
  if (!answer) return true;
  if (answer.category() != category()) return false;
  switch (static_cast<Errc>(answer.value())) {
    case Errc::bad_request:    // all requests are good ones, and nothing else than the segment is broken
    case Errc::bad_url:
    case Errc::unknown_backend:
    case Errc::permission_denied:
    case Errc::backend_unavailable:
      return false;
    default:
      return true;
  }
}

template <class Call>
void Calls::one(const char* name, Call&& call) {
  observer_.begins(name);
  std::error_code answer;
  try {
    answer = code_of(call());
  } catch (...) {
    answer = Escaped::code();
  }
  observer_.ends(name, answer);
}

void Calls::look(Inspector* inspector) {
  if (inspector == nullptr) return;
  one("snapshot", [&] { return inspector->snapshot(true); });
  for (const std::string* key : {&image_.held, &image_.waited_for, &image_.idle, &image_.stale, &image_.abandoned}) {
    one("look_at", [&] { return inspector->look_at(*key); });
  }
  one("verify", [&] {
    (void)inspector->verify();
    return std::error_code{};
  });
}

void Calls::lock(LockService* locks) {
  if (locks == nullptr) return;
  const std::string* keys[] = {&image_.held, &image_.waited_for, &image_.idle, &image_.stale, &image_.abandoned};
  for (const std::string* key : keys) {
    one("check", [&] { return locks->check(*key); });
    one("confirm", [&] { return locks->confirm(*key, 1); });
    one("lock", [&] { return locks->lock({*key, "dora"}, kBound); });
    one("lock with a lease", [&] {
      return locks->lock({*key, "anna", 4}, {.duration = microseconds(1), .time_to_live = std::chrono::hours(1)});
    });
    one("unlock", [&] { return locks->unlock({*key, "dora"}); });
  }
  one("lock by force", [&] { return locks->lock({image_.held, "dora", 0}, {.force = true}); });
  one("lock_for", [&] { return locks->lock_for({image_.waited_for, "dora"}, kShortWait); });
  one("lock_for of a new key", [&] { return locks->lock_for({"fresh", "emil"}, kShortWait, kBound); });
  one("NamedMutex", [&] {
    try {
      NamedMutex mutex(*locks, image_.idle);
      const std::unique_lock guard(mutex, kShortWait);
      return std::error_code{};
    } catch (const std::system_error& error) {    // as it is documented
      return error.code();
    }
  });
}

void Calls::name(NameManager* names) {
  if (names == nullptr) return;
  const std::string& family = image_.family;
  one("list", [&] { return names->list(); });
  std::optional<HeldName> held;
  one("hold", [&] {
    auto name = names->hold(family);
    const std::error_code code = code_of(name);
    if (name) held = *std::move(name);
    return code;
  });
  for (int i = 0; i < 3; ++i) one("acquire", [&] { return names->acquire(family); });
  one("acquire of a new family", [&] { return names->acquire("young"); });
  for (const char* number : {"0", "1", "2", "3", "4294967295"}) {
    one("keep_alive", [&] { return names->keep_alive(family, number); });
    one("try_acquire", [&] { return names->try_acquire(family, number); });
    one("release", [&] { return names->release(family, number); });
    one("try_hold", [&] { return code_of(names->try_hold(family, number)); });    // and released at once
  }
  if (held) {
    one("status", [&] { return held->status(); });
    one("release of what is held", [&] { return held->release(); });
  }
  one("reset", [&] { return names->reset(); });
  one("acquire after a reset", [&] { return names->acquire(family); });
}

void Calls::become_known(LockService* locks, NameManager* names) {
  if (locks == nullptr || names == nullptr) return;
  for (const std::string* key : {&image_.idle, &image_.held}) {
    one("lock", [&] { return locks->lock({*key, "dora"}, kBound); });
    one("check", [&] { return locks->check(*key); });
  }
  one("unlock", [&] { return locks->unlock({image_.idle, "dora"}); });
  one("acquire", [&] { return names->acquire(image_.family); });
  one("release", [&] { return names->release(image_.family, "2"); });
  one("acquire", [&] { return names->acquire(image_.family); });
}

void Calls::crowd(LockService* locks) {
  if (locks == nullptr) return;
  const unsigned count = image_.geometry.slots < 32 ? image_.geometry.slots : 8;
  for (unsigned i = 0; i < count; ++i) {
    const std::string key = "new" + std::to_string(i);
    one("lock of a new key", [&] { return locks->lock({key, "emil" + std::to_string(i % 3)}); });
  }
}

void Calls::make(const std::function<void()>& damage) {
  std::unique_ptr<LockService> locks;
  std::unique_ptr<NameManager> names;
  std::unique_ptr<Inspector> inspector;
  const std::string url = "shm://" + segment_ + "?create=false";
  const auto open = [&](const char* what, auto& service, auto&& opener) {
    one(what, [&] {
      auto opened = opener();
      const std::error_code code = code_of(opened);
      if (opened) service = *std::move(opened);
      return code;
    });
  };
  open("open_inspector", inspector, [&] { return open_inspector(segment_); });
  open("open_lock_service", locks, [&] { return open_lock_service(url); });
  open("open_name_manager", names, [&] { return open_name_manager(url + "&auto_release_after=1h"); });
  if (damage) {
    become_known(locks.get(), names.get());    // what the thread remembers leads to the damaged places, too
    damage();
  }
  look(inspector.get());
  lock(locks.get());
  name(names.get());
  crowd(locks.get());
  look(inspector.get());
  one("close", [&] {
    names.reset();
    locks.reset();
    return std::error_code{};
  });
}

}    // namespace keyrack::tests
