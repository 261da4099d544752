#include "checker.hpp"

#include "reference/text.hpp"

#include <fmt/format.h>

namespace keyrack::history {

namespace {

using namespace reference;

using LockStatus = LockAnswer::Status;
using NameStatus = NamesAnswer::Status;

void tamper(LockRules::Op& op, Tampering tampering) {
  const bool locks = op.call.kind == LockCall::Kind::lock;
  LockAnswer& answer = op.answer;
  switch (tampering) {
    case Tampering::token_again:
      if (locks && answer.status == LockStatus::ok) answer.token -= 2;    // unlocking counts as well
      break;
    case Tampering::renewal_new_token:
      if (locks && answer.status == LockStatus::renewed) answer.token += 1;
      break;
    case Tampering::refused_though_free:
      if (locks && answer.status == LockStatus::ok)
        answer = {LockStatus::forbidden, answer.token + 1, op.call.signee + 1};
      break;
    case Tampering::two_holders:
      if (locks && answer.status == LockStatus::forbidden) answer = {LockStatus::ok, answer.token + 1};
      break;
    case Tampering::wrong_holder:
      if (op.call.kind == LockCall::Kind::check && answer.status == LockStatus::ok) ++answer.signee;
      break;
    case Tampering::lost_though_held:
      if (op.call.kind == LockCall::Kind::confirm && answer.status == LockStatus::ok) answer.status = LockStatus::lost;
      break;
    case Tampering::held_though_lost:
      if (op.call.kind == LockCall::Kind::confirm && answer.status == LockStatus::lost) answer.status = LockStatus::ok;
      break;
    case Tampering::unlocked_nothing:
      if (op.call.kind == LockCall::Kind::unlock && answer.status == LockStatus::ok)
        answer.status = LockStatus::no_lock;
      break;
    default:
      break;
  }
}

void tamper(NameRules::Op& op, Tampering tampering) {
  const bool acquires = op.call.kind == NamesCall::Kind::acquire && op.answer.status == NameStatus::ok;
  if (tampering == Tampering::name_too_high && acquires) ++op.answer.number;
  if (tampering == Tampering::name_twice && op.call.kind == NamesCall::Kind::try_acquire &&
      op.answer.status == NameStatus::in_use) {
    op.answer.status = NameStatus::ok;
  }
  if (tampering == Tampering::name_lost_though_held && op.call.kind == NamesCall::Kind::release_loan &&
      op.answer.status == NameStatus::ok) {
    op.answer.status = NameStatus::lost;
  }
}

/// Those calls alone that no other one of the key overlaps: what they are answered is beyond doubt.
template <class Op>
void tamper_with_lonely(std::vector<Op>& ops, Tampering tampering) {
  std::sort(ops.begin(), ops.end(), [](const Op& a, const Op& b) { return a.when.from < b.when.from; });
  Instant over = kAlways;
  for (std::size_t at = 0; at < ops.size(); ++at) {
    const bool lonely = over < ops[at].when.from && (at + 1 == ops.size() || ops[at].when.to < ops[at + 1].when.from);
    over = std::max(over, ops[at].when.to);
    if (lonely && at % 4 == 3) tamper(ops[at], tampering);
  }
}

template <class Op, class Record>
Op operation(const Record& record, std::size_t slot, std::size_t thread, const Death& death) {
  Op op{.call = record.call,
        .when = record.when,
        .answered = record.answered.load(std::memory_order_acquire),
        .place = Places{1} << (slot * kThreadsMax + thread)};
  if (death.process != 0) op.not_after = Places{1} << (kProcessesMax * kThreadsMax + slot);
  if (op.answered) {
    op.answer = record.answer;
  } else {
    op.when.to = death.when.to + 1;    // the death is looked at first: what came before it is tried then
  }
  return op;
}
static_assert(kProcessesMax * (kThreadsMax + 1) <= 64);

template <class Op, class Kind>
Op operation(const Death& death, std::size_t slot, Kind kind) {
  return {.call = {.kind = kind, .process = death.process},
          .when = death.when,
          .place = Places{1} << (kProcessesMax * kThreadsMax + slot)};
}

template <class Rules>
std::string explain(const Linearizer<Rules>& history, std::vector<typename Rules::Op> ops) {
  using Op = typename Rules::Op;
  const Op failed = ops[history.failed()];
  const Instant origin = failed.when.from;
  const auto line = [&](const Op& op) {
    return fmt::format("  {:10.3f} to {:10.3f} us  {}  =  {}\n", double(op.when.from - origin) / 1000,
                       double(op.when.to - origin) / 1000, text(op.call), op.answered ? text(op.answer) : "killed");
  };
  std::sort(ops.begin(), ops.end(), [](const Op& a, const Op& b) { return a.when.from < b.when.from; });
  std::erase_if(ops, [&](const Op& op) { return op.when.from > failed.when.to; });
  std::string all = "this call cannot have been answered so:\n" + line(failed) + "what was possible before it ended:\n";
  for (const auto& possibility : history.possibilities()) {
    all += fmt::format("  {} (done: {:x})\n", text(possibility.state, origin), possibility.done);
  }
  all += "the calls before it:\n";
  for (std::size_t at = ops.size() > 25 ? ops.size() - 25 : 0; at < ops.size(); ++at) all += line(ops[at]);
  return all;
}

template <class Rules>
std::optional<std::string> check_one(Linearizer<Rules>& history, std::vector<typename Rules::Op>& ops,
                                     Tampering tampering, Counts& counts) {
  if (tampering != Tampering::none) tamper_with_lonely(ops, tampering);
  const bool right = history.check(ops);
  counts.widest = std::max<std::uint64_t>(counts.widest, history.widest());
  if (right) return {};
  return explain(history, ops);
}

}    // namespace

template <class Op, std::size_t statuses>
void Checker::count(const Op& op, std::array<std::uint64_t, statuses>& answers) {
  ++(op.answered ? answers.at(static_cast<std::size_t>(op.answer.status)) : counts_.killed);
}

void Checker::collect(const Board& board, std::uint32_t window) {
  for (auto& ops : locks_) ops.clear();
  for (auto& ops : names_) ops.clear();
  for (std::size_t slot = 0; slot < kProcessesMax; ++slot) {
    const Death& death = board.deaths[window % 2][slot];
    for (std::size_t thread = 0; thread < kThreadsMax; ++thread) {
      const Page& page = board.pages[window % 2][slot][thread];
      for (std::uint32_t at = 0, end = page.locks.count; at < end; ++at) {
        const LockRecord& record = page.locks.records[at];
        locks_[record.key].push_back(operation<LockRules::Op>(record, slot, thread, death));
        count(locks_[record.key].back(), counts_.locks);
      }
      for (std::uint32_t at = 0, end = page.names.count; at < end; ++at) {
        const NameRecord& record = page.names.records[at];
        names_[record.key].push_back(operation<NameRules::Op>(record, slot, thread, death));
        count(names_[record.key].back(), counts_.names);
      }
    }
    if (death.process == 0) continue;
    for (auto& ops : locks_) ops.push_back(operation<LockRules::Op>(death, slot, LockCall::Kind::death));
    for (auto& ops : names_) ops.push_back(operation<NameRules::Op>(death, slot, NamesCall::Kind::death));
  }
}

std::optional<std::string> Checker::check(const Board& board, std::uint32_t window) {
  collect(board, window);
  for (std::size_t key = 0; key < kKeys; ++key) {
    if (auto wrong = check_one(lock_histories_[key], locks_[key], tampering_, counts_)) {
      return fmt::format("key {}, window {}: {}", key, window, *wrong);
    }
  }
  for (std::size_t family = 0; family < kFamilies; ++family) {
    if (auto wrong = check_one(name_histories_[family], names_[family], tampering_, counts_)) {
      return fmt::format("family {}, window {}: {}", family, window, *wrong);
    }
  }
  return {};
}

}    // namespace keyrack::history
