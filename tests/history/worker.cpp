#include "worker.hpp"

#include "reference/asking.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace keyrack::history {

namespace {

using namespace reference;

constexpr Instant kUs = 1000;
constexpr std::size_t kHeldMax = 2;

Instant now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

/// In the end: another backend may not answer just now.
template <class Open>
auto opened(const Open& open, const std::string& url) {
  auto service = open(url);
  for (int i = 0; i < 20 && !service && service.error().code == Errc::backend_unavailable; ++i) service = open(url);
  return std::move(service).value();
}

struct Services {
  Services(const std::string& url, const std::string& age)
      : locks(opened(open_lock_service, url)),
        names(opened(open_name_manager, url)),
        aging(opened(open_name_manager, url + "&auto_release_after=" + age)) {}

  std::unique_ptr<LockService> locks;
  std::unique_ptr<NameManager> names, aging;
};

/// What one thread does, at random.
class Load {
 public:
  Load(const Services& services, const Worker& worker, std::size_t thread)
      : services_(services),
        worker_(worker),
        self_(static_cast<Signee>(worker.slot * kThreadsMax + thread)),
        loan_(Loan{worker.process} << 32 | thread << 28),
        dice_(worker.seed * 31 + worker.process * kThreadsMax + static_cast<std::uint32_t>(thread)) {}

  /// Records a window; full, or nearly so, when this returns.
  void fill(Page& page) {
    while (!page.locks.full() && page.names.count + kFamilies <= kNamesMax &&
           page.locks.count + page.names.count < worker_.window_calls) {
      if (one_in(10)) {
        call_names(page.names);
      } else {
        call_locks(page.locks);
      }
    }
  }

 private:
  struct Granted {
    std::uint32_t key;
    Signee signee;
    friend bool operator==(const Granted&, const Granted&) = default;
  };

  std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(dice_() % end); }
  bool one_in(std::uint32_t sides) { return below(sides) == 0; }
  template <class One, std::size_t count>
  One any(const One (&of)[count]) {
    return of[dice_() % count];
  }

  void call_locks(Log<LockRecord, kLocksMax>& log) {
    if (!grants_.empty() && one_in(2)) return unlock_one(log);
    const std::uint32_t key = one_in(2) ? below(2) : below(kKeys);
    LockCall call{.kind = lock_kind(),
                  .process = worker_.process,
                  .signee = one_in(4) ? below(kProcessesMax * kThreadsMax) : self_,
                  .level = one_in(5) ? static_cast<std::int32_t>(below(3)) - 1 : 0,
                  .force = one_in(50),
                  .bound = one_in(2),
                  .token = tokens_[key]};
    if (!one_in(3))
      call.duration = any<std::int64_t>({20 * kUs, 100 * kUs, 400 * kUs, 2000 * kUs, 10'000 * kUs, 0, -1});
    if (one_in(6))
      call.time_to_live = any<std::int64_t>({50 * kUs, 300 * kUs, 1000 * kUs, 5000 * kUs, 50'000 * kUs, 0});
    const LockAnswer* answer = record(log, key, call);
    const bool granted =
        call.kind <= LockCall::Kind::wait && (answer == nullptr || answer->status <= LockAnswer::Status::renewed);
    if (answer != nullptr && answer->token != kAnyToken && !one_in(8)) tokens_[key] = answer->token;
    if (granted && !one_in(8)) grants_.push_back({key, call.signee});
  }

  void unlock_one(Log<LockRecord, kLocksMax>& log) {
    const Granted grant = grants_[below(static_cast<std::uint32_t>(grants_.size()))];
    std::erase(grants_, grant);
    record(log, grant.key, {.kind = LockCall::Kind::unlock, .process = worker_.process, .signee = grant.signee});
  }

  /// Makes the call, which returns whether it was answered.
  template <class Call>
  static Outcome outcome_of(const Call& call) {
    try {
      call();
      return Outcome::answered;
    } catch (const Unavailable&) {
      return Outcome::unavailable;
    }
  }

  /// Not to lose one call after the other, whose effects are all possible then.
  void rest_after(Outcome outcome) {
    if (outcome == Outcome::unavailable) std::this_thread::sleep_for(std::chrono::milliseconds(below(500)));
  }

  /// Null: not answered.
  const LockAnswer* record(Log<LockRecord, kLocksMax>& log, std::uint32_t key, const LockCall& call) {
    LockRecord& record = log.begin(key, call);
    const Instant wait = below(1000) * kUs;
    record.when.from = now_ns();
    log.count.fetch_add(1, std::memory_order_release);
    const Outcome outcome =
        outcome_of([&] { record.answer = ask(*services_.locks, signatures_[key], call, record.when.from + wait); });
    record.when.to = now_ns();
    record.answer.process = kAnyProcess;    // pids come back; what is told of them is for the property tests
    record.outcome.store(outcome, std::memory_order_release);
    rest_after(outcome);
    return outcome == Outcome::answered ? &record.answer : nullptr;
  }

  LockCall::Kind lock_kind() {
    const auto roll = below(1000);
    if (roll < 600) return LockCall::Kind::lock;
    if (roll < 700) return LockCall::Kind::unlock;
    if (roll < 800) return LockCall::Kind::check;
    if (roll < 995) return LockCall::Kind::confirm;
    return LockCall::Kind::wait;
  }

  void call_names(Log<NameRecord, kNamesMax>& log) {
    const std::uint32_t family = one_in(8) ? kAgingFamily : below(kAgingFamily);
    NamesCall call{.process = worker_.process, .bound = one_in(2), .number = below(24), .loan = ++loan_};
    if (family == kAgingFamily) call.auto_release_after = Instant{worker_.age_ms} * 1000 * kUs;
    const auto roll = below(1000);
    if (held_[family].size() >= kHeldMax || (roll < 300 && !held_[family].empty())) {
      const auto& [loan, name] = *held_[family].begin();
      call.kind = one_in(4) ? NamesCall::Kind::status : NamesCall::Kind::release_loan;
      call.loan = loan;
      call.number = static_cast<Number>(std::stoul(name.name()));
    } else if (roll < 500) {
      call.kind = NamesCall::Kind::acquire;
    } else if (roll < 700) {
      call.kind = NamesCall::Kind::try_acquire;
    } else if (roll < 998) {
      call.kind = one_in(20) ? NamesCall::Kind::keep_alive : NamesCall::Kind::release;
    } else {
      return one_in(4) ? reset(log) : void();
    }
    record(log, family, call);
  }

  void record(Log<NameRecord, kNamesMax>& log, std::uint32_t family, const NamesCall& call) {
    NameRecord& record = log.begin(family, call);
    record.when.from = now_ns();
    log.count.fetch_add(1, std::memory_order_release);
    NameManager& names = family == kAgingFamily ? *services_.aging : *services_.names;
    const Outcome outcome = outcome_of([&] { record.answer = ask(names, families_[family], call, held_[family]); });
    record.when.to = now_ns();
    record.outcome.store(outcome, std::memory_order_release);
    rest_after(outcome);
  }

  /// Of all families at once: a call in the history of each.
  void reset(Log<NameRecord, kNamesMax>& log) {
    std::array<NameRecord*, kFamilies> records{};
    const NamesCall call{.kind = NamesCall::Kind::reset, .process = worker_.process};
    const Instant from = now_ns();
    for (std::uint32_t family = 0; family < kFamilies; ++family) {
      records[family] = &log.begin(family, call);
      records[family]->when.from = from;
      log.count.fetch_add(1, std::memory_order_release);
    }
    NamesAnswer answer;
    const Outcome outcome = outcome_of([&] { answer = ask(*services_.names, {}, call, held_[0]); });
    const Instant to = now_ns();
    for (NameRecord* record : records) {
      record->answer = answer;
      record->when.to = to;
      record->outcome.store(outcome, std::memory_order_release);
    }
    rest_after(outcome);
  }

  template <std::size_t size>
  static std::array<std::string, size> numbered(const std::string& prefix) {
    std::array<std::string, size> texts;
    for (std::size_t number = 0; number < size; ++number) texts[number] = prefix + std::to_string(number);
    return texts;
  }

  const Services& services_;
  const Worker& worker_;
  const Signee self_;
  Loan loan_;
  std::mt19937 dice_;
  const std::array<std::string, kKeys> signatures_ = numbered<kKeys>("key/");
  const std::array<std::string, kFamilies> families_ = numbered<kFamilies>("family/");
  std::vector<Granted> grants_;          // to be unlocked
  std::array<Token, kKeys> tokens_{};    // the latest that was told
  std::array<HeldNames, kFamilies> held_;
};

/// Returns false when there is no other window.
bool await_window(const Board& board, std::uint32_t window) {
  while (board.window < window) {
    if (board.stop) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return !board.stop;
}

}    // namespace

void work(Board& board, const std::string& url, const Worker& worker) {
  const Services services(url, std::to_string(worker.age_ms) + "ms");
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < worker.threads; ++thread) {
    threads.emplace_back([&, thread] {
      Load load(services, worker, thread);
      for (std::uint32_t window = worker.first_window; await_window(board, window); ++window) {
        load.fill(board.pages[window % 2][worker.slot][thread]);
        board.finished[worker.slot][thread] = window;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}    // namespace keyrack::history
