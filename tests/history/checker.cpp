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

bool is_death(const LockCall& call) { return call.kind == LockCall::Kind::death; }
bool is_death(const NamesCall& call) { return call.kind == NamesCall::Kind::death; }

/// Those calls alone that no other one of the key overlaps: what they are answered is beyond doubt, but for deaths.
template <class Op>
void tamper_with_lonely(std::vector<Op>& ops, Tampering tampering) {
  std::sort(ops.begin(), ops.end(), [](const Op& a, const Op& b) { return a.when.from < b.when.from; });
  std::vector<Op*> calls;
  for (Op& op : ops) {
    if (!is_death(op.call)) calls.push_back(&op);
  }
  Instant over = kAlways;
  for (std::size_t at = 0; at < calls.size(); ++at) {
    const Interval& when = calls[at]->when;
    const bool lonely = over < when.from && (at + 1 == calls.size() || when.to < calls[at + 1]->when.from);
    over = std::max(over, when.to);
    if (lonely && at % 4 == 3) tamper(*calls[at], tampering);
  }
}

bool only_reads(const LockCall& call) {
  return call.kind == LockCall::Kind::check || call.kind == LockCall::Kind::confirm;
}
bool only_reads(const NamesCall& call) { return call.kind == NamesCall::Kind::status; }

Places place_of(std::size_t slot, std::size_t thread) { return Places{1} << (slot * kThreadsMax + thread); }
/// For what may last longer than one call of a thread.
constexpr Places kSpare = ~Places{0} << (kProcessesMax * kThreadsMax);
template <class Op>
Places spare_place(const std::vector<Op>& ops) {
  Places spare = kSpare;
  for (const Op& op : ops) spare &= ~op.place;
  if (spare == 0) throw std::runtime_error("too many calls without an answer at one time");
  return spare & (~spare + 1);
}

/// A hold without an answer is undone, if it took effect, for nobody knows what it got.
void add_undo(std::vector<LockRules::Op>&, const LockRules::Op&) {}
void add_undo(std::vector<NameRules::Op>& ops, const NameRules::Op& op) {
  const bool holds = op.call.kind == NamesCall::Kind::acquire || op.call.kind == NamesCall::Kind::try_acquire;
  if (!holds || !op.call.bound) return;
  NameRules::Op undo = op;
  undo.call.kind = NamesCall::Kind::undo;
  undo.place = spare_place(ops);
  ops.push_back(std::move(undo));
}

template <class Rules>
std::string explain(const Linearizer<Rules>& history, std::vector<typename Rules::Op> ops) {
  using Op = typename Rules::Op;
  const Op failed = ops[history.failed()];
  const Instant origin = failed.when.from;
  const auto line = [&](const Op& op) {
    return fmt::format("  {:10.3f} to {:10.3f} us  {}  =  {}\n", double(op.when.from - origin) / 1000,
                       double(op.when.to - origin) / 1000, text(op.call), op.answered ? text(op.answer) : "no answer");
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

}    // namespace

template <class Record, std::size_t statuses>
void Checker::count(const Record& record, std::array<std::uint64_t, statuses>& answers) {
  switch (record.outcome.load(std::memory_order_acquire)) {
    case Outcome::none:
      ++counts_.killed;
      break;
    case Outcome::answered:
      ++answers.at(static_cast<std::size_t>(record.answer.status));
      break;
    case Outcome::unavailable:
      ++counts_.unavailable;
      break;
  }
}

/// What is bound to a process cannot begin after its death; nothing can that begins at once or never.
template <class Op>
void Checker::add_death(std::vector<Op>& ops, const Death& death) const {
  using Call = decltype(Op::call);
  Op op{.call = {.kind = Call::Kind::death, .process = death.process},
        .when = {death.when.from, later(death.when.to, licence_.death)},
        .place = spare_place(ops)};
  for (Op& other : ops) {
    if (!is_death(other.call) && other.call.process == death.process) bind(other, op.place);
  }
  ops.push_back(std::move(op));
}

template <class Op>
void Checker::bind(Op& op, Places death) const {
  if (licence_.effect == 0 || op.call.bound) op.not_after = death;
}

template <class Op, class Record>
void Checker::add(std::vector<Op>& ops, const Record& record, Places thread, const Death& death) const {
  const Outcome outcome = record.outcome.load(std::memory_order_acquire);
  Op op{.call = record.call, .when = record.when, .answered = outcome == Outcome::answered, .place = thread};
  if (op.answered) {
    op.answer = record.answer;
  } else {
    if (only_reads(op.call)) return;
    // A death is looked at first: what came before it is tried then.
    const Instant returned = outcome == Outcome::none ? death.when.to + 1 : record.when.to;
    op.when.to = later(returned, licence_.effect);
    op.place = spare_place(ops);
    for (const Op& other : ops) {
      if (is_death(other.call) && other.call.process == op.call.process) bind(op, other.place);
    }
  }
  ops.push_back(op);
  if (outcome == Outcome::unavailable) add_undo(ops, op);
}

template <class Visit>
void Checker::for_each_history(Visit&& visit) {
  for (auto& history : locks_) visit(history);
  for (auto& history : names_) visit(history);
}

void Checker::collect(const Board& board, std::uint32_t window) {
  for (std::size_t slot = 0; slot < kProcessesMax; ++slot) {
    const Death& death = board.deaths[window % 2][slot];
    if (death.process != 0) for_each_history([&](auto& history) { add_death(history.ops, death); });
    for (std::size_t thread = 0; thread < kThreadsMax; ++thread) {
      const Page& page = board.pages[window % 2][slot][thread];
      for (std::uint32_t at = 0, end = page.locks.count; at < end; ++at) {
        const LockRecord& record = page.locks.records[at];
        add(locks_[record.key].ops, record, place_of(slot, thread), death);
        count(record, counts_.locks);
      }
      for (std::uint32_t at = 0, end = page.names.count; at < end; ++at) {
        const NameRecord& record = page.names.records[at];
        add(names_[record.key].ops, record, place_of(slot, thread), death);
        count(record, counts_.names);
      }
    }
  }
  const Instant over = board.over[window % 2];
  for_each_history([&](auto& history) {
    for (auto& op : history.ops) {
      op.ends = op.when.to <= over;
      op.passed_over.clear();
    }
  });
}

/// Keeps what is still under way.
template <class Rules>
std::optional<std::string> Checker::check_one(History<Rules>& history) {
  auto& [ops, linearizer] = history;
  if (tampering_ != Tampering::none) tamper_with_lonely(ops, tampering_);
  const bool right = linearizer.check(ops);
  counts_.widest = std::max<std::uint64_t>(counts_.widest, linearizer.widest());
  if (!right) return explain(linearizer, ops);
  std::erase_if(ops, [](const auto& op) { return op.ends; });
  return {};
}

std::optional<std::string> Checker::check(const Board& board, std::uint32_t window) {
  collect(board, window);
  for (std::size_t key = 0; key < kKeys; ++key) {
    if (auto wrong = check_one(locks_[key])) return fmt::format("key {}, window {}: {}", key, window, *wrong);
  }
  for (std::size_t family = 0; family < kFamilies; ++family) {
    if (auto wrong = check_one(names_[family])) return fmt::format("family {}, window {}: {}", family, window, *wrong);
  }
  return {};
}

}    // namespace keyrack::history
