// keyrack_instructions CALL COUNT: makes one of the hot calls so many times. bench/instructions counts the instructions
// of two runs with different counts; what they differ by belongs to the calls alone. With --time in front it prints how
// many nanoseconds of processor time each took.
#include "harness/own.hpp"
#include "harness/processes.hpp"

#include <keyrack/inspect.hpp>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

namespace keyrack::bench {

namespace {

constexpr LockOptions kLeased{.duration = std::chrono::hours(1), .lifetime = Lifetime::process};
constexpr const char* kSmall = "slots=32768";    // quickly made, and room for all inserts

void pairs(int count, const LockOptions& options) {
  Keyed contender(1, options, kSmall);
  for (int i = 0; i < count; ++i) {
    contender.lock(0);
    contender.unlock(0);
  }
}

void mutex(int count) {
  Named contender(1);
  for (int i = 0; i < count; ++i) {
    contender.lock(0);
    contender.unlock(0);
  }
}

void check(int count) {
  const auto locks = scratch_locks(kSmall);
  const KeyTexts keys(1);
  (void)expect(locks->lock({.signature = keys[0], .signee = kSignee}, kBound), "lock()");
  for (int i = 0; i < count; ++i) require(locks->check(keys[0]).has_value(), "check() failed");
}

void refused(int count) {
  const auto locks = scratch_locks(kSmall);
  const KeyTexts keys(1);
  (void)expect(locks->lock({.signature = keys[0], .signee = kSignee}, kBound), "lock()");
  const LockRequest other{.signature = keys[0], .signee = "worker-0008"};
  for (int i = 0; i < count; ++i) require(!locks->lock(other, kBound), "lock() was not refused");
}

/// A signee or a key that nobody has had before, in every pair.
void new_signee(int count) {
  const auto locks = scratch_locks(kSmall);
  const KeyTexts keys(1);
  CountingText signee("worker-");
  for (int i = 0; i < count; ++i) {
    const std::string_view self = signee.next();
    require(locks->lock({.signature = keys[0], .signee = self}, kBound).has_value(), "lock() was refused");
    require(locks->unlock({.signature = keys[0], .signee = self}).has_value(), "unlock() was refused");
  }
}
void insert(int count) {
  const auto locks = scratch_locks(kSmall);
  CountingText key("orders/new-0");
  for (int i = 0; i < count; ++i) {
    const std::string_view signature = key.next();
    require(locks->lock({.signature = signature, .signee = kSignee}, kBound).has_value(), "lock() was refused");
    require(locks->unlock({.signature = signature, .signee = kSignee}).has_value(), "unlock() was refused");
  }
}

std::unique_ptr<NameManager> names_with_ten_held() {
  auto names = scratch_names(kSmall);
  for (int i = 0; i < 10; ++i) (void)expect(names->acquire("workers"), "acquire()");
  return names;
}
void acquire(int count) {
  const auto names = names_with_ten_held();
  for (int i = 0; i < count; ++i) {
    const auto name = names->acquire("workers");
    require(name.has_value() && names->release("workers", *name).has_value(), "acquire() or release() failed");
  }
}
void hold(int count) {
  const auto names = names_with_ten_held();
  const auto other = names->hold("workers");    // so that the thread that keeps names alive is there
  for (int i = 0; i < count; ++i) {
    auto name = names->hold("workers");
    require(name.has_value() && name->release().has_value(), "hold() or release() failed");
  }
}

/// A call, and how often it is made to be counted: more often the less it takes, for what threads spin while they start
/// differs from run to run by some ten thousand instructions.
struct Call {
  const char* name;
  int count;
  std::function<void(int)> make;
};
const std::vector<Call> kCalls{
    {"keyed", 50000, [](int count) { pairs(count, kBound); }},
    {"keyed, lease", 50000, [](int count) { pairs(count, kLeased); }},
    {"mutex", 50000, mutex},
    {"check", 50000, check},
    {"refused", 50000, refused},
    {"new signee", 10000, new_signee},
    {"insert", 10000, insert},
    {"names", 10000, acquire},
    {"names, hold", 10000, hold},
};

/// Is a grant counted by this program, as is, or is not, to be?
void check_counting() {
  const ScratchName name;
  const auto locks = expect(open_lock_service(name.url(kSmall)), "opening a segment");
  (void)expect(locks->lock({.signature = "key", .signee = kSignee}), "lock()");
  const auto seen = expect(expect(open_inspector(name.name()), "looking at the segment")->snapshot(), "snapshot()");
  require(seen.counters.grants == (COUNTED ? 1 : 0), COUNTED ? "nothing is counted" : "something is counted");
}

int run(int argc, char** argv) {
  const bool timed = argc > 1 && std::string_view(argv[1]) == "--time";
  if (timed) {
    --argc;
    ++argv;
    check_counting();
  }
  const std::string_view call = argc > 1 ? argv[1] : "";
  if (call == "--list") {
    for (const Call& each : kCalls) std::printf("%s\t%d\n", each.name, each.count);
    return 0;
  }
  if (call == "--build") {
    std::puts(BUILD_COMPILER "\t" BUILD_TYPE);
    return 0;
  }
  for (const Call& each : kCalls) {
    if (each.name != call || argc != 3) continue;
    const int count = std::atoi(argv[2]);
    const std::int64_t begin = cpu_ns();
    each.make(count);
    if (timed) std::printf("%g\n", static_cast<double>(cpu_ns() - begin) / count);
    return 0;
  }
  std::fputs("usage: keyrack_instructions [--time] CALL COUNT | --list | --build\n", stderr);
  return 2;
}

}    // namespace

}    // namespace keyrack::bench

int main(int argc, char** argv) try { return keyrack::bench::run(argc, argv); } catch (const std::exception& error) {
  std::fprintf(stderr, "keyrack_instructions: %s\n", error.what());
  return 1;
}
