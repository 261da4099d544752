#include "etcd/client.hpp"

#include <boost/throw_exception.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <thread>
#include <utility>

namespace keyrack::etcd {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

enum GrpcCode { invalid_argument = 3, not_found = 5, denied = 7, exhausted = 8, precondition = 9, out_of_range = 11 };

bool says(const EtcdError& error, std::string_view what) { return error.message.find(what) != std::string::npos; }

/// Longer each time, so that a cluster that chooses a leader is left alone. False when the time is up.
bool pause(milliseconds& span, steady_clock::time_point until) {
  const auto wake = steady_clock::now() + span;
  if (wake >= until) return false;
  std::this_thread::sleep_until(wake);
  span = std::min(2 * span, milliseconds(200));
  return true;
}

bool writes(const Txn& txn) {
  const auto is_write = [](const Operation& operation) { return operation.what != Operation::What::range; };
  return std::any_of(txn.then.begin(), txn.then.end(), is_write) ||
         std::any_of(txn.otherwise.begin(), txn.otherwise.end(), is_write);
}

std::string lease_body(LeaseId id) { return Json{{"ID", std::to_string(id)}}.dump(); }

}    // namespace

void throw_exception_from_error(const Trouble& trouble, const boost::source_location& where) {
  boost::throw_with_location(std::system_error(make_error_code(trouble.code), trouble.what), where);
}

Client::Client(const Access& access, std::string prefix) : access_(access), prefix_(std::move(prefix)), http_(access) {}

Client::Verdict Client::judge(const EtcdError& error, Trouble& trouble) {
  trouble = {.in_doubt = false, .what = error.message};
  const auto refused = [&](Errc code) {
    trouble.code = code;
    return Verdict::refused;
  };
  for (const char* known : {"invalid auth token", "auth store is old", "user name is empty"}) {
    if (says(error, known)) return Verdict::as_whom;
  }
  switch (error.code) {
    case invalid_argument:
      return refused(says(error, "authentication failed") ? Errc::permission_denied : Errc::backend_unavailable);
    case denied:
      return refused(Errc::permission_denied);
    case not_found:
      return refused(says(error, "lease not found") ? Errc::lost : Errc::backend_unavailable);
    case exhausted:
      if (says(error, "space exceeded")) return refused(Errc::table_full);
      return Verdict::again;    // too many requests: this one was not taken
    case precondition:
    case out_of_range:
      return refused(Errc::backend_unavailable);
    default:    // no leader any more, no time left, and the like: it may have been decided before
      trouble.in_doubt = !says(error, "no leader");
      return Verdict::again;
  }
}

Answer<bool> Client::ask(const Request& request, steady_clock::time_point until,
                         const std::function<void(std::string_view)>& parse) {
  constexpr int kAuthentications = 3;    // a member that was away may not know the first one's token, either
  int authenticated = 0;
  bool repeated = false;
  Trouble last;
  for (milliseconds span(10);;) {
    if (!last.what.empty() && steady_clock::now() >= until) return last;    // it says more than that the time is up
    Trouble trouble;
    Verdict verdict = Verdict::again;
    std::string token;
    if (request.authenticated) {
      auto known = authorization(until);
      if (!known) return known.error();
      token = *std::move(known);
    }
    const std::size_t asked = preferred_.load(std::memory_order_relaxed);
    // Half of the time, so that a silent endpoint leaves some for another one, or for reading back.
    const auto now = steady_clock::now();
    const auto limit = std::min(until, now + std::max<steady_clock::duration>((until - now) / 2, milliseconds(50)));
    const HttpAnswer answer = http_.post(endpoint(asked), request.path, request.body, token, limit);
    trouble.what = answer.timed_out && !last.what.empty() ? last.what : answer.what;
    trouble.in_doubt = answer.came == HttpAnswer::Came::in_doubt;
    if (answer.came == HttpAnswer::Came::whole) {
      try {
        const auto error = answer.status == 200 ? std::nullopt : parse_error(answer.body);
        if (!error) {
          if (answer.status != 200) {
            throw Garbage("status " + std::to_string(answer.status) + ": " +
                          answer.body.substr(0, std::min<std::size_t>(answer.body.find('\n'), 200)));
          }
          parse(answer.body);
          return repeated;
        }
        verdict = judge(*error, trouble);
      } catch (const Garbage& garbage) {
        trouble.what = garbage.what();
        trouble.in_doubt = true;
      }
      trouble.what = endpoint(asked) + ": " + trouble.what;
    }
    if (verdict == Verdict::refused) return trouble;
    if (verdict == Verdict::as_whom) {
      const std::lock_guard guard(mutex_);
      if (token_ == token) token_.reset();
      if (access_.user.empty() || ++authenticated == kAuthentications) trouble.code = Errc::permission_denied;
    } else {
      std::size_t expected = asked;
      preferred_.compare_exchange_strong(expected, asked + 1, std::memory_order_relaxed);
      if (request.repeat == Repeat::harmless) repeated |= std::exchange(trouble.in_doubt, false);
    }
    if (trouble.in_doubt || trouble.code != Errc::backend_unavailable || !pause(span, until)) return trouble;
    last = std::move(trouble);
  }
}

Answer<std::string> Client::authorization(steady_clock::time_point until) {
  if (access_.user.empty()) return std::string();
  {
    const std::lock_guard guard(mutex_);
    if (token_) return *token_;
  }
  const std::string body =
      Json{{"name", access_.user}, {"password", access_.password}}.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string token;    // empty where etcd asks nobody who he is
  const auto asked = ask({.path = "/v3/auth/authenticate", .body = body, .authenticated = false}, until,
                         [&](std::string_view answer) { token = parse_token(answer); });
  if (!asked && asked.error().what.find("authentication is not enabled") == std::string::npos) return asked.error();
  const std::lock_guard guard(mutex_);
  token_ = token;
  return token;
}

Answer<TxnAnswer> Client::commit(const Txn& txn, steady_clock::time_point until) {
  TxnAnswer answer;
  const Repeat repeat = writes(txn) && !txn.repeatable ? Repeat::harmful : Repeat::harmless;
  const auto called = ask({.path = "/v3/kv/txn", .body = to_json(txn), .repeat = repeat}, until,
                          [&](std::string_view body) { answer = parse_txn(body, txn); });
  if (!called) return called.error();
  answer.repeated = *called;
  Revision latest = revision();
  while (latest < answer.revision && !revision_.compare_exchange_weak(latest, answer.revision)) {
  }
  return answer;
}

/// `on_line` answers whether to go on; throws Garbage. Where it is cut off another endpoint is asked next.
HttpAnswer Client::watch(const Range& range, Revision since, steady_clock::time_point until,
                         const std::function<bool(std::string_view)>& on_line) {
  Json watched{{"key", encode_base64(range.key)}, {"start_revision", std::to_string(since + 1)}, {"prev_kv", true}};
  if (!range.end.empty()) watched["range_end"] = encode_base64(range.end);
  const auto token = authorization(until);
  if (!token) return {.what = token.error().what};
  const std::size_t asked = preferred_.load(std::memory_order_relaxed);
  std::string garbage;
  auto answer = http_.stream(endpoint(asked), "/v3/watch", Json{{"create_request", watched}}.dump(), *token, until,
                             [&](std::string_view line) {
                               try {
                                 return on_line(line);
                               } catch (const Garbage& what) {
                                 garbage = what.what();
                                 return false;
                               }
                             });
  if (answer.came == HttpAnswer::Came::whole && garbage.empty()) return answer;
  if (steady_clock::now() < until) {
    std::size_t expected = asked;
    preferred_.compare_exchange_strong(expected, asked + 1, std::memory_order_relaxed);
  }
  if (!garbage.empty()) answer = {.what = endpoint(asked) + ": " + garbage};
  return answer;
}

void Client::await_change(const Range& range, Revision since, steady_clock::time_point until) {
  const auto answer = watch(range, since, until, [](std::string_view line) { return !tells_of_change(line); });
  if (answer.came == HttpAnswer::Came::whole) return;
  // Cut off, or refused: the caller looks again, and not too often.
  milliseconds span(50);
  (void)pause(span, until);
}

Answer<std::vector<Change>> Client::changes(const Range& range, Revision since,
                                            const std::function<bool(const KeyValue&)>& is_last,
                                            steady_clock::time_point until) {
  std::string what;
  for (milliseconds span(10);;) {
    std::vector<Change> found;
    bool all = false;
    const auto answer = watch(range, since, until, [&](std::string_view line) {
      const auto changes = parse_changes(line);
      for (auto change = changes.begin(); change != changes.end() && !all; ++change) {
        const KeyValue& kv = change->kv;
        if (kv.modified <= since || !within(range, kv.key)) throw Garbage("a change that was not asked for");
        found.push_back(*change);
        all = is_last(kv);
      }
      return !all && (!changes.empty() || !tells_of_change(line));    // etcd has forgotten them: the watch ends
    });
    if (all) return found;
    what = answer.what;
    if (answer.came == HttpAnswer::Came::whole || !pause(span, until)) break;
  }
  return Trouble{.what = what.empty() ? "etcd has forgotten what happened to a key" : what};
}

Answer<seconds> Client::grant(LeaseId id, seconds ttl, steady_clock::time_point until) {
  const std::string body = Json{{"ID", std::to_string(id)}, {"TTL", std::to_string(ttl.count())}}.dump();
  seconds granted{};
  const auto called = ask({.path = "/v3/lease/grant", .body = body}, until,
                          [&](std::string_view answer) { granted = parse_granted(answer, id); });
  if (!called) {
    // An answer was lost before: the number is ours alone.
    if (called.error().what.find("lease already exists") == std::string::npos) return called.error();
    const auto kept = keep_alive(id, until);
    if (!kept) return kept.error();
    granted = *kept;
  }
  if (granted.count() <= 0) return Trouble{.what = "a lease of no time"};
  return granted;
}

Answer<seconds> Client::keep_alive(LeaseId id, steady_clock::time_point until) {
  seconds left{};
  const auto called = ask({.path = "/v3/lease/keepalive", .body = lease_body(id)}, until,
                          [&](std::string_view answer) { left = parse_kept_alive(answer, id); });
  if (!called) return called.error();
  return left;
}

Answer<void> Client::revoke(LeaseId id, steady_clock::time_point until) {
  const auto called = ask({.path = "/v3/lease/revoke", .body = lease_body(id)}, until, [](std::string_view) {});
  if (!called) return called.error();
  return {};
}

Answer<std::vector<std::string>> Client::keys_of(LeaseId id, steady_clock::time_point until) {
  const std::string body = Json{{"ID", std::to_string(id)}, {"keys", true}}.dump();
  std::vector<std::string> keys;
  const auto called = ask({.path = "/v3/lease/timetolive", .body = body}, until,
                          [&](std::string_view answer) { keys = parse_keys(answer, id); });
  if (!called) return called.error();
  return keys;
}

}    // namespace keyrack::etcd
