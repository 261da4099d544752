// What moving to etcd costs, call by call. Lock and unlock, and waiting, are among the contenders.
#include "harness/suite.hpp"
#include "rivals/rivals.hpp"

#include <keyrack/name_manager.hpp>

namespace keyrack::bench {

#ifdef HAVE_ETCD

namespace {

void confirm_on_etcd(benchmark::State& state) {
  const auto locks = expect(open_lock_service(EtcdServer::running().url()), "opening a lock service");
  const auto granted = locks->lock({.signature = "confirm", .signee = kSignee}, {.lifetime = Lifetime::process});
  require(granted.has_value(), "lock() was refused");
  for (auto _ : state) require(locks->confirm("confirm", granted->token).has_value(), "confirm() failed");
}

void lend_on_etcd(benchmark::State& state) {
  const auto names = expect(open_name_manager(EtcdServer::running().url()), "opening a name manager");
  for (int i = 0; i < 10; ++i) (void)expect(names->acquire("workers"), "acquire()");
  for (auto _ : state) {
    const auto name = names->acquire("workers");
    require(name.has_value() && names->release("workers", *name).has_value(), "acquire() or release() failed");
  }
}

void hold_on_etcd(benchmark::State& state) {
  const auto names = expect(open_name_manager(EtcdServer::running().url()), "opening a name manager");
  for (int i = 0; i < 10; ++i) (void)expect(names->acquire("holders"), "acquire()");
  for (auto _ : state) {
    auto name = names->hold("holders");
    require(name.has_value() && name->release().has_value(), "hold() or release() failed");
  }
}

}    // namespace

void add_etcd_cases() {
  if (!installed<KeyrackOnEtcd>()) return;
  add("confirm/keyrack on etcd", confirm_on_etcd)->UseRealTime();
  add("names/keyrack on etcd", lend_on_etcd)->UseRealTime();
  add("hold/keyrack on etcd", hold_on_etcd)->UseRealTime();
}

#else

void add_etcd_cases() {}

#endif

}    // namespace keyrack::bench
