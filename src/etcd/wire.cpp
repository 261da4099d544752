#include "etcd/wire.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace keyrack::etcd {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

[[noreturn]] void garbage(const std::string& what) { throw Garbage("an answer that makes no sense: " + what); }

/// The member, if there is one: etcd leaves out what is empty.
const Json* member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

/// Numbers are written as texts, and left out when they are 0.
std::int64_t number_in(const Json& object, const char* name) {
  const Json* found = member(object, name);
  if (found == nullptr) return 0;
  if (found->is_number_integer()) return found->get<std::int64_t>();
  std::int64_t number = 0;
  if (!found->is_string()) garbage(std::string(name) + " is no number");
  const auto& text = found->get_ref<const std::string&>();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) garbage(std::string(name) + " is no number");
  return number;
}

Json parse_object(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) garbage(text.empty() ? "it is empty" : "it is no JSON");
  return json;
}

/// Of an answer about that lease, and no other.
const Json& about(const Json& json, LeaseId id) {
  if (number_in(json, "ID") != id) garbage("it is about another lease");
  return json;
}

/// Of an answer in parts.
const Json& result_of(const Json& json) {
  const Json* result = member(json, "result");
  if (result == nullptr || !result->is_object()) garbage("it has no result");
  return *result;
}

std::string bytes_in(const Json& object, const char* name) {
  const Json* found = member(object, name);
  if (found == nullptr) return {};
  if (!found->is_string()) garbage(std::string(name) + " is no text");
  return decode_base64(found->get_ref<const std::string&>());
}

Json to_json(const Range& range) {
  Json json{{"key", encode_base64(range.key)}};
  if (!range.end.empty()) json["range_end"] = encode_base64(range.end);
  if (range.at != 0) json["revision"] = std::to_string(range.at);
  if (range.last_only) json.update({{"limit", "1"}, {"sort_order", "DESCEND"}});
  return json;
}

Json to_json(const Compare& compare) {
  Json json{{"key", encode_base64(compare.key)}, {"result", "EQUAL"}};
  if (!compare.end.empty()) json["range_end"] = encode_base64(compare.end);
  const auto set = [&](const char* target, const char* field) {
    json["target"] = target;
    json[field] = std::to_string(compare.value);
  };
  switch (compare.what) {
    case Compare::What::modified_below:
      json["result"] = "LESS";
      [[fallthrough]];
    case Compare::What::modified_is:
      set("MOD", "mod_revision");
      break;
    case Compare::What::exists:
      json["result"] = "GREATER";
      [[fallthrough]];
    case Compare::What::created_is:
      set("CREATE", "create_revision");
      break;
    case Compare::What::lease_is:
      set("LEASE", "lease");
      break;
  }
  return json;
}

Json to_json(const Operation& operation) {
  Json json = to_json(operation.range);
  switch (operation.what) {
    case Operation::What::put:
      json["value"] = encode_base64(operation.value);
      if (operation.lease != 0) json["lease"] = std::to_string(operation.lease);
      return {{"request_put", json}};
    case Operation::What::erase:
      return {{"request_delete_range", json}};
    case Operation::What::range:
      break;
  }
  return {{"request_range", json}};
}

template <class Part>
Json to_json(const std::vector<Part>& parts) {
  Json json = Json::array();
  for (const Part& part : parts) json.push_back(to_json(part));
  return json;
}

KeyValue parse_key_value(const Json& json) {
  if (!json.is_object()) garbage("a key is no object");
  return {.key = bytes_in(json, "key"),
          .value = bytes_in(json, "value"),
          .created = number_in(json, "create_revision"),
          .modified = number_in(json, "mod_revision"),
          .version = number_in(json, "version"),
          .lease = number_in(json, "lease")};
}

}    // namespace

std::string encode_base64(std::string_view bytes) {
  std::string text;
  for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(3, bytes.size()))) {
    const auto byte = [&](std::size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u; };
    const unsigned group = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (std::size_t i = 0; i < 4; ++i) text += i <= bytes.size() ? kDigits[group >> (18 - 6 * i) & 63] : '=';
  }
  return text;
}

std::string decode_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  if (text.size() % 4 == 1) garbage("no base64");
  std::string bytes;
  unsigned group = 0, bits = 0;
  for (const char digit : text) {
    const std::size_t value = kDigits.find(digit);
    if (value == kDigits.npos) garbage("no base64");
    group = (group << 6 | static_cast<unsigned>(value)) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(group >> bits & 0xff);
  }
  return bytes;
}

bool within(const Range& range, const std::string& key) {
  if (range.end.empty()) return key == range.key;
  return key >= range.key && (key < range.end || range.end == std::string(1, '\0'));
}

Range Range::prefix(const std::string& prefix) {
  std::string end = prefix;
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return {prefix, std::string(1, '\0')};    // etcd's word for "all that follow"
  ++end.back();
  return {prefix, end};
}

Operation put(std::string key, std::string value, LeaseId lease) {
  return {Operation::What::put, {std::move(key)}, std::move(value), lease};
}
Operation erase(Range range) { return {Operation::What::erase, std::move(range)}; }
Operation read(Range range) { return {Operation::What::range, std::move(range)}; }

std::string to_json(const Txn& txn) {
  return Json{{"compare", to_json(txn.guard)}, {"success", to_json(txn.then)}, {"failure", to_json(txn.otherwise)}}
      .dump();
}

TxnAnswer parse_txn(std::string_view body, const Txn& txn) {
  const Json json = parse_object(body);
  const Json* header = member(json, "header");
  if (header == nullptr || !header->is_object()) garbage("it has no header");
  TxnAnswer answer;
  answer.revision = number_in(*header, "revision");
  if (answer.revision < 1) garbage("it has no revision");
  if (const Json* succeeded = member(json, "succeeded")) {
    if (!succeeded->is_boolean()) garbage("succeeded is neither true nor false");
    answer.succeeded = succeeded->get<bool>();
  }
  const auto& asked = answer.succeeded ? txn.then : txn.otherwise;
  const Json* responses = member(json, "responses");
  if ((responses == nullptr ? 0 : responses->size()) != asked.size()) garbage("it has too few or too many parts");
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (asked[i].what != Operation::What::range) continue;
    const Json& response = responses->is_array() ? (*responses)[i] : *responses;
    const Json* range = response.is_object() ? member(response, "response_range") : nullptr;
    if (range == nullptr || !range->is_object()) garbage("a range has no answer");
    auto& keys = answer.read.emplace_back();
    const Json* kvs = member(*range, "kvs");
    if (kvs == nullptr) continue;
    if (!kvs->is_array()) garbage("the keys are no list");
    for (const Json& kv : *kvs) {
      const KeyValue& key = keys.emplace_back(parse_key_value(kv));
      const bool possible = 1 <= key.created && key.created <= key.modified && key.modified <= answer.revision &&
                            key.version >= 1 && within(asked[i].range, key.key);
      if (!possible) garbage("a key that was not asked for, or cannot be");
    }
  }
  return answer;
}

std::chrono::seconds parse_granted(std::string_view body, LeaseId id) {
  return std::chrono::seconds(number_in(about(parse_object(body), id), "TTL"));
}

std::chrono::seconds parse_kept_alive(std::string_view body, LeaseId id) {
  return std::chrono::seconds(number_in(about(result_of(parse_object(body)), id), "TTL"));
}

std::vector<std::string> parse_keys(std::string_view body, LeaseId id) {
  const Json json = parse_object(body);
  const Json* keys = member(about(json, id), "keys");
  std::vector<std::string> decoded;
  if (keys == nullptr) return decoded;
  if (!keys->is_array()) garbage("the keys are no list");
  for (const Json& key : *keys) {
    if (!key.is_string()) garbage("a key is no text");
    decoded.push_back(decode_base64(key.get_ref<const std::string&>()));
  }
  return decoded;
}

std::string parse_token(std::string_view body) {
  const Json json = parse_object(body);
  const Json* token = member(json, "token");
  if (token == nullptr || !token->is_string()) garbage("it has no token");
  const auto& text = token->get_ref<const std::string&>();
  const auto graphic = [](char c) { return c > ' ' && c < '\x7f'; };
  if (!std::all_of(text.begin(), text.end(), graphic)) garbage("its token fits no header");
  return text;
}

bool tells_of_change(std::string_view line) {
  const Json json = parse_object(line);
  const Json& result = result_of(json);
  const Json* events = member(result, "events");
  const Json* canceled = member(result, "canceled");
  return (events != nullptr && !events->empty()) || (canceled != nullptr && *canceled != false);
}

std::vector<Change> parse_changes(std::string_view line) {
  const Json json = parse_object(line);
  std::vector<Change> changes;
  const Json* events = member(result_of(json), "events");
  if (events == nullptr) return changes;
  if (!events->is_array()) garbage("the changes are no list");
  for (const Json& event : *events) {
    const Json* kv = event.is_object() ? member(event, "kv") : nullptr;
    if (kv == nullptr) garbage("a change of nothing");
    const Json* before = member(event, "prev_kv");
    changes.push_back({parse_key_value(*kv), before == nullptr ? 0 : parse_key_value(*before).modified});
  }
  return changes;
}

std::optional<EtcdError> parse_error(std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return {};
  // Up to etcd 3.5 the text stands under `error`, too, or in streams all of it does; from 3.6 on neither is there.
  const Json* told = member(json, "error");
  const Json& error = told != nullptr && told->is_object() ? *told : json;
  const Json* message = member(error, "message");
  if (told == nullptr && message == nullptr) return {};
  const char* code = error.contains("grpc_code") ? "grpc_code" : "code";
  return EtcdError{static_cast<int>(number_in(error, code)),
                   message != nullptr && message->is_string() ? message->get<std::string>() : "no message"};
}

}    // namespace keyrack::etcd
