#include "history.hpp"

#include "trial.hpp"

#include "../reference/text.hpp"

#include <algorithm>

namespace keyrack::simulation {

using namespace reference;

template <class Event>
void History::start(Event& event, std::uint32_t thread) {
  event.answered = false;
  event.place = Places{1} << thread;
  event.when.from = world_.instant();
}

LockEvent& History::begin(std::uint32_t thread, std::uint32_t key, const LockCall& call) {
  LockEvent& event = locks_.emplace_back();
  event.key = key;
  event.call = call;
  start(event, thread);
  return event;
}

NamesEvent& History::begin(std::uint32_t thread, const NamesCall& call) {
  NamesEvent& event = names_.emplace_back();
  event.call = call;
  start(event, thread);
  return event;
}

EndEvent& History::begin_closing(std::uint32_t thread, Process process) {
  EndEvent& event = ends_.emplace_back();
  event.process = process;
  start(event, thread);
  return event;
}

void History::note_death(Process process) {
  EndEvent death{.process = process, .dead = true};
  start(death, kThreadsMax + process);
  finish(death);
  // Ends after the death, which is looked at first: what came before it is tried then.
  const auto cut = [&](Process of, auto& event) {
    if (of != process || event.answered) return;
    event.when.to = world_.instant();
    event.not_after = death.place;
  };
  for (LockEvent& event : locks_) cut(event.call.process, event);
  for (NamesEvent& event : names_) cut(event.call.process, event);
  for (EndEvent& event : ends_) cut(event.process, event);
  ends_.push_back(death);
}

std::vector<std::string> History::judge(bool scarce) const {
  std::vector<std::string> faults;
  for (std::uint32_t key = 0; key < kKeys; ++key) {
    auto ops = ops_of(key, scarce);
    if (!Linearizer<LockRules>().check(ops)) faults.push_back(key_text(key) + text_of(std::move(ops)));
  }
  auto ops = ops_of_names(scarce);
  if (!Linearizer<NameRules>().check(ops)) faults.push_back("names" + text_of(std::move(ops)));
  return faults;
}

std::vector<LockRules::Op> History::ops_of(std::uint32_t key, bool scarce) const {
  std::vector<LockRules::Op> ops;
  for (const LockEvent& event : locks_) {
    if (event.key != key || (scarce && event.answer.status == LockAnswer::Status::table_full)) continue;
    ops.push_back(event);
  }
  for (const EndEvent& end : ends_) add_end(ops, end);
  return ops;
}

std::vector<NameRules::Op> History::ops_of_names(bool scarce) const {
  std::vector<NameRules::Op> ops;
  for (const NamesEvent& event : names_) {
    if (scarce && event.answer.status == NamesAnswer::Status::table_full) continue;
    ops.push_back(event);
  }
  unsigned place = kThreadsMax + kThreads;    // behind those of threads and deaths
  for (const EndEvent& end : ends_) {
    const std::set<Number> names = names_bound_to(end.process);
    // Closing gives them back one after the other. Of many, all orders are too many to try.
    constexpr std::size_t kMost = 4;
    if (end.dead || names.size() > kMost || place + names.size() > 64) {
      add_end(ops, end);
      continue;
    }
    for (const Number number : names) {
      add_end(ops, end);
      ops.back().call.kind = NamesCall::Kind::close_one;
      ops.back().call.number = number;
      ops.back().place = Places{1} << place++;
    }
  }
  return ops;
}

/// At one time or another.
std::set<Number> History::names_bound_to(Process process) const {
  std::set<Number> numbers;
  for (const NamesEvent& event : names_) {
    using Kind = NamesCall::Kind;
    if (event.call.process != process || !event.call.bound || event.answer.status != NamesAnswer::Status::ok) continue;
    if (event.call.kind == Kind::acquire) numbers.insert(event.answer.number);
    if (event.call.kind == Kind::try_acquire) numbers.insert(event.call.number);
  }
  return numbers;
}

template <class Op>
void History::add_end(std::vector<Op>& ops, const EndEvent& end) const {
  using Kind = decltype(Op::call.kind);
  ops.push_back({.call = {.kind = end.dead ? Kind::death : Kind::close, .process = end.process},
                 .when = end.when,
                 .answered = end.answered,
                 .place = end.place,
                 .not_after = end.not_after});
}

template <class Op>
std::string History::text_of(std::vector<Op> ops) const {
  std::sort(ops.begin(), ops.end(), [](const Op& a, const Op& b) { return a.when.from < b.when.from; });
  std::string all = ": no order of the calls explains their answers";
  for (const Op& op : ops) {
    all += fmt::format("\n  {:.3f} to {:.3f} us, process {}: {} -> {}", double(op.when.from - origin_) / 1000,
                       double(op.when.to - origin_) / 1000, op.call.process, text(op.call),
                       op.answered ? text(op.answer) : "killed");
  }
  return all;
}

}    // namespace keyrack::simulation
