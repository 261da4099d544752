// Fuzz target: what comes back from an etcd, or from whatever answers in its place; and the URLs of one.
#include "target.hpp"

#include "etcd/locks.hpp"
#include "etcd/names.hpp"
#include "etcd/options.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace etcd = keyrack::etcd;

namespace {

const etcd::Keys kKeys("p/");
constexpr etcd::LeaseId kLease = 7;

/// Runs a reader, which may refuse what it reads in these two ways alone.
template <class Read>
void attempt(Read&& read) {
  try {
    read();
  } catch (const etcd::Garbage&) {
  } catch (const etcd::Corruption&) {
  }
}

template <class Record>
void try_record(const etcd::KeyValue& kv, Record (*decode)(const etcd::KeyValue&)) {
  attempt([&] {
    const Record record = decode(kv);
    etcd::KeyValue again = kv;
    again.value = etcd::encode(record);
    require(etcd::encode(decode(again)) == again.value, "a record is read as it is written");
    require(etcd::call_of(again) == record.call, "and so is its call");
  });
}

void try_key_value(const etcd::KeyValue& kv) {
  require(kv.created >= 1 && kv.created <= kv.modified && kv.version >= 1, "revisions that can be");
  try_record(kv, &etcd::decode_grant);
  try_record(kv, &etcd::decode_name);
  try_record(kv, &etcd::decode_waiter);
  (void)kKeys.owner_of_life(kv.key);
  if (!kKeys.is_name(kv.key)) return;
  attempt([&] {
    const auto named = kKeys.named(kv.key);
    const std::string name = kKeys.name(named.family, named.number);
    require(kv.key == (named.life ? etcd::Keys::name_life(name) : name), "a name is written as it is read");
  });
}

void try_transaction(std::string_view body) {
  const etcd::Ask ask{.signature = "job", .signee = "anna", .call = 1};
  const etcd::Turn turn{.ahead = kKeys.ahead_of_newcomer("job", 0), .place = kKeys.place("job", 0, 5, 1)};
  etcd::Txn txn{.then = {etcd::put("p/x", ""), etcd::read(kKeys.names())}, .otherwise = reads_of(kKeys, ask, &turn)};
  const etcd::TxnAnswer answer = etcd::parse_txn(body, txn);
  require(answer.revision >= 1, "a revision");
  require(answer.read.size() == (answer.succeeded ? 1 : 3), "each range has its answer");
  for (const auto& kvs : answer.read) {
    for (const auto& kv : kvs) {
      require(kv.modified <= answer.revision, "nothing from the future");
      require(kv.key.starts_with(answer.succeeded ? "p/name/" : "p/lock/job"), "nothing that was not asked for");
      try_key_value(kv);
    }
  }
  if (answer.succeeded) {
    attempt([&] { (void)etcd::name_seen(answer.read.at(0)); });
  } else {
    attempt([&] { (void)etcd::attempt_of(answer, &turn); });
  }
}

void try_options(std::string_view text) {
  const auto options = etcd::parse_options(text);
  if (!options) {
    require(options.error().code == keyrack::Errc::bad_url && !options.error().detail.empty(), "a refusal says why");
    return;
  }
  require(!options->access.endpoints.empty() && options->prefix.ends_with('/'), "somewhere to ask, and for what");
}

void try_base64(std::string_view text) {
  require(etcd::decode_base64(etcd::encode_base64(text)) == text, "bytes are read as they are written");
  attempt([&] { (void)etcd::decode_base64(text); });
}

}    // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  attempt([&] { try_transaction(body); });
  attempt([&] { (void)etcd::parse_error(body); });
  attempt([&] { (void)etcd::parse_granted(body, kLease); });
  attempt([&] { (void)etcd::parse_kept_alive(body, kLease); });
  attempt([&] { (void)etcd::parse_keys(body, kLease); });
  attempt([&] { (void)etcd::tells_of_change(body); });
  attempt([&] { (void)etcd::parse_changes(body); });
  attempt([&] {
    const std::string token = etcd::parse_token(body);
    require(std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 127; }), "fits a header");
  });
  try_options(body);
  try_base64(body);
  return 0;
}
