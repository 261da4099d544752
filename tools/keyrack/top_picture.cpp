// Differences, orders, and the choice of what is shown.
#include "top_picture.hpp"

#include "words.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <unordered_map>
#include <utility>

namespace keyrack::command {
namespace {

std::size_t hash_of(const std::string& key) { return std::hash<std::string>()(key); }

/// Each counter is read while others write it, so that a later look may be a little behind.
std::uint64_t rise(std::uint64_t from, std::uint64_t to) { return to > from ? to - from : 0; }

std::string_view title_of(Order order) {
  constexpr std::array<std::string_view, kOrders> kTitles = {"LONGEST HELD", "HOTTEST", "MOST WAITED FOR", "BY KEY"};
  return kTitles[static_cast<std::size_t>(order)];
}

/// Has this lock what the order asks for?
bool counts(const TopPicture& picture, std::size_t lock, Order order) {
  const LockPicture& seen = picture.snapshot.locks[lock];
  switch (order) {
    case Order::held:
      return seen.held_for.has_value();
    case Order::hottest:
      return picture.changes[lock] > 0;
    case Order::waiters:
      return seen.waiters > 0;
    case Order::key:
      break;
  }
  return seen.state != LockState::idle;
}

/// By key where all else is equal, so that rows do not jump.
bool is_before(const TopPicture& picture, std::size_t a, std::size_t b, Order order) {
  const LockPicture& left = picture.snapshot.locks[a];
  const LockPicture& right = picture.snapshot.locks[b];
  if (order == Order::held && left.held_for != right.held_for) return left.held_for > right.held_for;
  if (order == Order::hottest && picture.changes[a] != picture.changes[b]) {
    return picture.changes[a] > picture.changes[b];
  }
  if (order == Order::waiters && left.waiters != right.waiters) return left.waiters > right.waiters;
  return left.signature < right.signature;
}

}    // namespace

Earlier::Earlier(const Snapshot& snapshot) : counters_(snapshot.counters), created_at_(snapshot.segment.created_at) {
  for (const LockPicture& lock : snapshot.locks) {
    if (lock.record >= seen_.size()) seen_.resize(lock.record + std::size_t{1});
    seen_[lock.record] = {hash_of(lock.signature), lock.token};
  }
}

std::uint64_t Earlier::changes_to(const LockPicture& lock) const {
  const Seen seen = lock.record < seen_.size() ? seen_[lock.record] : Seen{};
  if (seen.token == 0 || seen.key_hash != hash_of(lock.signature)) return 1;
  return rise(seen.token, lock.token);
}

TopPicture compare(const Earlier* before, Snapshot now, std::chrono::duration<double> elapsed) {
  TopPicture picture;
  picture.snapshot = std::move(now);
  const Snapshot& snapshot = picture.snapshot;
  picture.is_compared = before != nullptr && before->is_of(snapshot.segment) && elapsed.count() > 0;
  picture.changes.resize(snapshot.locks.size());
  if (picture.is_compared) {
    for (std::size_t i = 0; i < snapshot.locks.size(); ++i) {
      picture.changes[i] = static_cast<double>(before->changes_to(snapshot.locks[i])) / elapsed.count();
    }
  }
  const auto add_rate = [&](std::string_view name, auto&& count_of) {
    const std::uint64_t count = count_of(snapshot.counters);
    const double rate = !picture.is_compared
                            ? static_cast<double>(count)
                            : static_cast<double>(rise(count_of(before->counters()), count)) / elapsed.count();
    picture.rates.push_back({name, rate});
  };
  for (const Counter& counter : kCounters) {
    if (counter.cause.empty())
      add_rate(counter.name, [&](const Counters& counters) { return counters.*counter.value; });
  }
  add_rate("transfers", [](const Counters& counters) { return counters.transfers(); });
  return picture;
}

std::string_view to_string(Order order) {
  constexpr std::array<std::string_view, kOrders> kNames = {"held", "hottest", "waiters", "key"};
  return kNames[static_cast<std::size_t>(order)];
}

List locks_of(const TopPicture& picture, Order order, const Filter& filter, std::size_t first, std::size_t most) {
  const std::vector<LockPicture>& locks = picture.snapshot.locks;
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < locks.size(); ++i) {
    if (counts(picture, i, order) && passes(filter, locks[i].signature)) found.push_back(i);
  }
  List list;
  list.first = std::min(first, found.size() - std::min(most, found.size()));
  const std::size_t end = std::min(found.size(), list.first + most);
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(end), found.end(),
                    [&](std::size_t a, std::size_t b) { return is_before(picture, a, b, order); });
  list.columns = {{title_of(order)},   {"SIGNEE"},     {"PID", true},    {"STATE"},
                  {"CHANGES/S", true}, {"HELD", true}, {"WAITERS", true}};
  for (std::size_t i = list.first; i < end; ++i) {
    const LockPicture& lock = locks[found[i]];
    const bool idle = lock.state == LockState::idle;
    list.rows.push_back({{lock.signature},
                         {lock.signee},
                         {idle ? "" : fmt::to_string(lock.pid)},
                         {std::string(to_string(lock.state)), colour_of(lock.state)},
                         {picture.is_compared ? fmt::format("{:.1f}", picture.changes[found[i]]) : ""},
                         {lock.held_for ? people(*lock.held_for) : ""},
                         {fmt::to_string(lock.waiters)}});
  }
  return list;
}

List waiters_of(const TopPicture& picture, const Filter& filter, std::size_t most) {
  List list;
  list.columns = {{"LONGEST WAITING"}, {"SIGNEE"}, {"PID", true}, {"HELD BY"}, {"WAITED", true}};
  std::vector<const WaiterPicture*> shown;
  std::unordered_map<std::string_view, std::string_view> holders;
  for (const WaiterPicture& waiter : picture.snapshot.waiters) {    // longest first
    if (shown.size() == most) break;
    if (!passes(filter, waiter.signature)) continue;
    shown.push_back(&waiter);
    holders[waiter.signature];
  }
  if (shown.empty()) return list;
  for (const LockPicture& lock : picture.snapshot.locks) {
    if (lock.state == LockState::idle) continue;
    if (const auto wanted = holders.find(lock.signature); wanted != holders.end()) wanted->second = lock.signee;
  }
  for (const WaiterPicture* waiter : shown) {
    list.rows.push_back({{waiter->signature},
                         {waiter->signee},
                         {fmt::to_string(waiter->pid)},
                         {std::string(holders[waiter->signature])},
                         {people(waiter->waited)}});
  }
  return list;
}

List dead_sessions_of(const TopPicture& picture, std::size_t most) {
  List list;
  list.columns = {{"DEAD SESSION", true}, {"PID", true}, {"COMMAND"}, {"ATTACHED"}};
  for (const SessionPicture& session : picture.snapshot.sessions) {
    if (list.rows.size() == most) break;
    if (session.alive) continue;
    list.rows.push_back({{fmt::to_string(session.slot)},
                         {fmt::to_string(session.pid), Colour::red},
                         {session.command},
                         {iso_time(session.attached_at)}});
  }
  return list;
}

std::vector<std::vector<std::string>> figures_of(const TopPicture& picture) {
  const Snapshot& snapshot = picture.snapshot;
  const auto locks = [&](LockState state) {
    return std::count_if(snapshot.locks.begin(), snapshot.locks.end(),
                         [=](const LockPicture& lock) { return lock.state == state; });
  };
  const auto names =
      std::count_if(snapshot.names.begin(), snapshot.names.end(), [](const NamePicture& name) { return !name.free; });
  const auto dead = std::count_if(snapshot.sessions.begin(), snapshot.sessions.end(),
                                  [](const SessionPicture& session) { return !session.alive; });
  std::vector<std::vector<std::string>> lines;
  lines.push_back({iso_time(snapshot.taken_until) + "  " + describe(snapshot.segment)});
  if (picture.is_removed) lines.push_back({"the segment was removed", "those who are attached keep it"});
  lines.push_back(
      {fmt::format("locks held {}", locks(LockState::held)), fmt::format("stale {}", locks(LockState::stale)),
       fmt::format("abandoned {}", locks(LockState::abandoned)), fmt::format("waiting {}", snapshot.waiters.size()),
       fmt::format("names held {} of {}", names, snapshot.names.size()), fmt::format("dead sessions {}", dead)});
  std::vector<std::string> rates;
  for (const Rate& rate : picture.rates) {
    rates.push_back(picture.is_compared ? fmt::format("{} {:.1f}", rate.name, rate.value)
                                        : fmt::format("{} {:.0f}", rate.name, rate.value));
  }
  rates.front().insert(0, picture.is_compared ? "per second: " : "since it was made: ");
  lines.push_back(std::move(rates));
  return lines;
}

}    // namespace keyrack::command
