#include "changes.hpp"

namespace keyrack::command {
namespace {

bool is_held(const std::optional<LockPicture>& lock) { return lock && lock->state != LockState::idle; }

/// The same grant at both looks.
std::string_view change_of_grant(const LockPicture& before, const LockPicture& after) {
  if (after.state == LockState::idle) return before.state == LockState::idle ? "" : "gone";
  if (after.state != before.state) return after.state == LockState::held ? "renewed" : to_string(after.state);
  const bool same_terms = after.level == before.level && after.process_bound == before.process_bound &&
                          after.pid == before.pid && after.deadline == before.deadline;
  return same_terms ? "" : "renewed";
}

}    // namespace

std::optional<Change> change_between(const std::optional<LockPicture>& before,
                                     const std::optional<LockPicture>& after) {
  Change change;
  if (before) change.previous_signee = before->signee;
  const bool same_record = before && after && before->record == after->record && before->token <= after->token;
  if (same_record && before->token == after->token) {
    change.kind = change_of_grant(*before, *after);
    change.missed = 0;
  } else if (same_record) {
    const std::uint64_t steps = after->token - before->token;
    change.kind = !is_held(after) ? "released" : is_held(before) && steps == 1 ? "transferred" : "granted";
    change.missed = steps - 1;
  } else if (after) {
    change.kind = is_held(after) ? "granted" : "released";
  } else if (is_held(before)) {
    change.kind = "gone";
  }
  return change.kind.empty() ? std::nullopt : std::optional(change);
}

}    // namespace keyrack::command
