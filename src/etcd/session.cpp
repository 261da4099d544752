#include "etcd/session.hpp"

#include <algorithm>
#include <csignal>
#include <system_error>

namespace keyrack::etcd {
namespace {

/// etcd decides within seconds whether a request that it took is done.
constexpr auto kUnderWay = std::chrono::seconds(30);

}    // namespace

Answer<std::shared_ptr<Session>> Session::begin(Client& client, nanoseconds ttl, steady_clock::time_point until) {
  const auto asked_at = steady_clock::now();
  const auto lease = static_cast<LeaseId>(random_number());
  const auto granted = client.grant(lease, std::chrono::ceil<std::chrono::seconds>(ttl), until);
  if (!granted) return granted.error();
  const std::shared_ptr<Session> session(new Session(client, lease, *granted, asked_at));
  // Signals are for the program's own threads.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    session->thread_ = std::thread([&raw = *session] { raw.loop(); });
  } catch (const std::system_error& error) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return Trouble{.what = std::string("starting a thread: ") + error.what()};
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return session;
}

Session::Session(Client& client, LeaseId lease, nanoseconds ttl, steady_clock::time_point asked_at)
    : client_(client),
      lease_(lease),
      ttl_(ttl),
      good_until_((asked_at + ttl).time_since_epoch().count()),
      due_(asked_at + ttl / 3) {}

Session::~Session() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Session::add(std::shared_ptr<Beat> beat) {
  const std::lock_guard guard(mutex_);
  beats_.push_back(std::move(beat));
  wake_.notify_all();
}

void Session::sweep(Range first, Range second) {
  const std::lock_guard guard(mutex_);
  litter_.push_back({{std::move(first), std::move(second)}, steady_clock::now() + kUnderWay});
  due_ = std::min(due_, steady_clock::now());
  wake_.notify_all();
}

void Session::loop() {
  std::unique_lock guard(mutex_);
  while (!stopping_) {
    Beat* next = nullptr;
    std::shared_ptr<Beat> beat;
    for (const auto& each : beats_) {
      if (next == nullptr || each->due_ < next->due_) next = (beat = each).get();
    }
    // The lease goes first: everything hangs on it.
    const bool lease_first = next == nullptr || due_ <= next->due_ || due_ <= steady_clock::now();
    const auto due = lease_first ? due_ : next->due_;
    if (steady_clock::now() < due) {
      wake_.wait_until(guard, due);
      continue;
    }
    // A beat must not be late for the lease's turn.
    const auto until = std::max(due_, steady_clock::now() + ttl_ / 10);
    guard.unlock();
    auto again = steady_clock::now() + ttl_ / 10;
    try {
      if (lease_first) {
        again = keep_alive();
        sweep_all();
      } else {
        run_beat(*beat, until);
      }
    } catch (const std::exception&) {    // NOLINT(bugprone-empty-catch): no memory; then another time
    }
    guard.lock();
    if (lease_first) due_ = again;
    std::erase_if(beats_, [](const auto& each) {
      const std::lock_guard running(each->mutex_);
      return each->stopped_;
    });
  }
}

bool Session::look(steady_clock::time_point until) {
  const auto asked_at = steady_clock::now();
  if (lost()) return true;
  const auto left = client_.keep_alive(lease_, until);
  if (!left) return false;    // whether it has ended is for etcd to say
  lost_.store(left->count() <= 0);
  if (!lost()) good_until_.store((asked_at + ttl_).time_since_epoch().count());
  return true;
}

steady_clock::time_point Session::keep_alive() {
  const auto asked_at = steady_clock::now();
  return look(asked_at + ttl_ / 3) ? asked_at + ttl_ / 3 : steady_clock::now() + ttl_ / 10;
}

void Session::run_beat(Beat& beat, steady_clock::time_point until) {
  beat.due_ = steady_clock::now() + beat.interval_;
  const std::lock_guard running(beat.mutex_);
  if (!beat.stopped_) beat.run_(until);
}

void Session::sweep_all() {
  std::vector<Litter> found;
  {
    const std::lock_guard guard(mutex_);
    found.swap(litter_);
  }
  for (Litter& litter : found) {
    Txn txn{.repeatable = true};
    for (const Range& range : litter.ranges) txn.then.push_back(erase(range));
    const bool deleted = client_.commit(txn, steady_clock::now() + ttl_ / 10).has_value();
    if (deleted && steady_clock::now() > litter.until) continue;
    const std::lock_guard guard(mutex_);
    litter_.push_back(std::move(litter));
  }
}

}    // namespace keyrack::etcd
