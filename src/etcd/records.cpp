#include "etcd/records.hpp"

#include <array>
#include <charconv>
#include <random>
#include <utility>

namespace keyrack::etcd {
namespace {

constexpr std::string_view kFormat = "keyrack1";

std::string text_of(const std::string& text) { return text; }
template <class Number>
std::string text_of(Number number) {
  return std::to_string(number);
}

/// With leading zeros, so that texts sort as the numbers do.
std::string fixed(std::uint64_t number, int base, std::size_t width) {
  std::array<char, 64> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), number, base).ptr;
  const auto length = static_cast<std::size_t>(end - digits.begin());
  return std::string(width - std::min(width, length), '0').append(digits.begin(), end);
}

/// The highest level sorts first.
std::string rank(std::int32_t level) { return fixed(0x7fffffffu - static_cast<std::uint32_t>(level), 16, 8); }

/// The fields of each record, in the order in which they are written: the call first, a text last.
template <class Record, class Visit>
void each_field(Record& record, Visit&& visit) {
  visit("call", record.call);
  if constexpr (requires { record.token; }) visit("token", record.token);
  if constexpr (requires { record.level; }) visit("level", record.level);
  if constexpr (requires { record.free; }) visit("free", record.free);
  if constexpr (requires { record.bound; }) visit("bound", record.bound);
  if constexpr (requires { record.ages; }) visit("ages", record.ages);
  visit("process", record.process);
  if constexpr (requires { record.pid; }) visit("pid", record.pid);
  if constexpr (requires { record.stale_at; }) visit("stale_at", record.stale_at);
  if constexpr (requires { record.gone_at; }) visit("gone_at", record.gone_at);
  if constexpr (requires { record.created_at; }) visit("created_at", record.created_at);
  if constexpr (requires { record.updated_at; }) visit("updated_at", record.updated_at);
  if constexpr (requires { record.signee; }) visit("signee", record.signee);
  if constexpr (requires { record.signature; }) visit("signature", record.signature);
}

template <class Record>
std::string encode_record(const Record& record) {
  std::string text(kFormat);
  each_field(record, [&](const char* name, const auto& value) {
    text.append(1, ' ').append(name).append(1, '=').append(text_of(value));
  });
  return text;
}

bool take(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

template <class Number>
bool take_value(std::string_view& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take_value(std::string_view& text, std::string& value) {
  value = std::exchange(text, {});
  return !value.empty();
}

template <class Record>
Record decode_record(const KeyValue& kv) {
  std::string_view text = kv.value;
  Record record;
  bool good = take(text, kFormat);
  each_field(record, [&](const char* name, auto& value) {
    good = good && take(text, " ") && take(text, name) && take(text, "=") && take_value(text, value);
  });
  if (!good || !text.empty()) throw Corruption(kv.key + " has a value that is none of keyrack's");
  return record;
}

}    // namespace

std::string encode(const GrantRecord& record) { return encode_record(record); }
std::string encode(const NameRecord& record) { return encode_record(record); }
std::string encode(const WaiterRecord& record) { return encode_record(record); }
GrantRecord decode_grant(const KeyValue& kv) {
  auto record = decode_record<GrantRecord>(kv);
  if (record.level != static_cast<std::int32_t>(record.level)) throw Corruption(kv.key + " has an impossible level");
  return record;
}
NameRecord decode_name(const KeyValue& kv) { return decode_record<NameRecord>(kv); }
WaiterRecord decode_waiter(const KeyValue& kv) { return decode_record<WaiterRecord>(kv); }

std::uint64_t call_of(const KeyValue& kv) {
  std::string_view text = kv.value;
  std::uint64_t call = 0;
  return take(text, kFormat) && take(text, " call=") && take_value(text, call) ? call : 0;
}

std::uint64_t random_number() {
  // From the system each time: a forked child must not have its parent's next one.
  std::random_device random;
  return (std::uint64_t{random()} << 32 | random()) >> 1 | 1;    // fits a lease's id, too
}

std::string Keys::lock(std::string_view signature) const {
  return (prefix_ + "lock/").append(signature).append(1, '\0');
}

std::string Keys::place(std::string_view signature, std::int32_t level, Revision arrival, std::uint64_t id) const {
  return queue(signature) + rank(level) + '/' + fixed(static_cast<std::uint64_t>(arrival), 16, 16) + '/' +
         fixed(id, 16, 16);
}

Range Keys::ahead_of_newcomer(std::string_view signature, std::int32_t level) const {
  return {queue(signature), queue(signature) + rank(level) + '0'};    // '0' is what follows the slash
}

std::string Keys::waiter(std::string_view signee, std::uint64_t id) const {
  return waiters(signee).key + fixed(id, 16, 16);
}

Range Keys::waiters(std::string_view signee) const {
  return Range::prefix((prefix_ + "waiter/").append(signee).append(1, '\0'));
}

std::string Keys::family_prefix(std::string_view family) const {
  return (prefix_ + "name/").append(family).append(1, '\0');
}

std::string Keys::name(std::string_view family, std::uint32_t number) const {
  return family_prefix(family) + fixed(number, 10, 10);
}

Keys::Named Keys::named(const std::string& key) const {
  std::string_view text = key;
  Named named{.family = {}, .number = 0, .life = text.ends_with(kLife)};
  if (named.life) text.remove_suffix(kLife.size());
  const auto digits = text.rfind('\0');
  const std::size_t begin = prefix_.size() + 5;    // "name/"
  if (digits == text.npos || digits < begin || text.size() - digits != 11) throw Corruption(key + " is no name");
  std::string_view number = text.substr(digits + 1);
  if (!take_value(number, named.number) || !number.empty()) throw Corruption(key + " is no name");
  named.family = text.substr(begin, digits - begin);
  return named;
}

std::string Keys::owner_of_life(const std::string& key) const {
  if (!is_life(key)) return {};
  std::string before = key.substr(0, key.size() - kLife.size());
  if (is_name(key)) return before;
  return key.starts_with(prefix_ + "lock/") ? before + '\0' + "grant" : std::string();
}

}    // namespace keyrack::etcd
