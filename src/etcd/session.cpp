#include "etcd/session.hpp"

#include <algorithm>
#include <csignal>
#include <system_error>

namespace keyrack::etcd {

Answer<std::shared_ptr<Session>> Session::begin(Client& client, nanoseconds ttl, nanoseconds timeout,
                                                steady_clock::time_point until) {
  const auto asked_at = since_boot();
  const auto lease = static_cast<LeaseId>(random_number());
  const auto granted = client.grant(lease, std::chrono::ceil<std::chrono::seconds>(ttl), until);
  if (!granted) return granted.error();
  const std::shared_ptr<Session> session(new Session(client, lease, *granted, timeout, asked_at));
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

Session::Session(Client& client, LeaseId lease, nanoseconds ttl, nanoseconds timeout, nanoseconds asked_at)
    : client_(client),
      lease_(lease),
      ttl_(ttl),
      timeout_(timeout),
      good_until_(asked_at + ttl),
      due_(good_until() - 2 * ttl / 3) {}

Session::~Session() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void Session::stop() {
  const std::lock_guard guard(mutex_);
  stopping_ = true;
  wake_.notify_all();
}

void Session::add(std::shared_ptr<Beat> beat) {
  const std::lock_guard guard(mutex_);
  beats_.push_back(std::move(beat));
  wake_.notify_all();
}

void Session::owe(std::function<bool(steady_clock::time_point)> done) {
  add(std::make_shared<Beat>(std::min<nanoseconds>(std::chrono::milliseconds(500), ttl_ / 3),
                             [done = std::move(done)](steady_clock::time_point until) { return !done(until); }));
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
    const auto now = steady_clock::now();
    const auto until = std::min(std::max(due_, now + ttl_ / 10), now + timeout_);
    guard.unlock();
    auto again = now + ttl_ / 10;
    try {
      if (lease_first) {
        again = keep_alive();
      } else {
        beat->due_ = now + beat->interval_;
        if (!beat->stopped_ && !beat->run_(until)) beat->stop();
      }
    } catch (const std::exception&) {    // NOLINT(bugprone-empty-catch): no memory; then another time
    }
    guard.lock();
    if (lease_first) due_ = again;
    std::erase_if(beats_, [](const auto& each) { return each->stopped_.load(); });
  }
  ended_ = true;
}

bool Session::look(steady_clock::time_point until) {
  const auto asked_at = since_boot();
  if (lost()) return true;
  const auto left = client_.keep_alive(lease_, until);
  if (!left) return false;    // whether it has ended is for etcd to say
  if (left->count() > 0) {
    heard_of(asked_at);
  } else {
    lost_.store(true);    // for ever, whatever an answer to an earlier question says
  }
  return true;
}

void Session::heard_of(nanoseconds asked_at) {
  const auto end = asked_at + ttl_;
  auto known = good_until_.load();
  while (known < end && !good_until_.compare_exchange_weak(known, end)) {
  }
}

steady_clock::time_point Session::keep_alive() {
  const auto asked_at = steady_clock::now();
  const bool heard = look(asked_at + std::min(ttl_ / 3, timeout_));
  return heard ? asked_at + ttl_ / 3 : steady_clock::now() + ttl_ / 10;
}

}    // namespace keyrack::etcd
