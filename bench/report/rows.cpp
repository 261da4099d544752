#include "rows.hpp"

namespace keyrack::bench {

namespace {

const std::string kUnit = "pair/robust mutex";

Row against(const std::string& title, const std::string& value, const std::string& base, double limit) {
  return {title, Form::time_ratio, {value}, {base}, Row::at_most, limit};
}
Row pair(const std::string& title, const std::string& value, double limit) {
  return against(title, value, kUnit, limit);
}
Row speed(const std::string& title, const std::string& value, const std::string& base, double limit) {
  return {title, Form::speed_ratio, {value}, {base}, Row::at_least, limit};
}
/// By how much keyrack's keys are faster than a rival with keys, both waiting for what is held.
Row rival(const std::string& title, const std::string& form, const std::string& name, double limit) {
  return speed(title, form + "/keyrack keyed, waiting", form + "/" + name, limit);
}
Row amount(const std::string& title, const Measure& value, double limit, const std::string& unit, double scale) {
  return {title, Form::amount, value, {}, Row::at_most, limit, unit, scale};
}

/// Without a target.
Row only_told(const std::string& title, const std::string& value, const std::string& unit, double scale) {
  return {title, Form::amount, {value}, {}, Row::none, 0, unit, scale};
}

/// One case has both times.
Row counting(const std::string& title, const std::string& name, double limit) {
  return {title, Form::time_ratio, {name}, {name, "uncounted_ns"}, Row::at_most, limit};
}

}    // namespace

const std::vector<Row>& rows() {
  constexpr double us = 1e3, ms = 1e6, s = 1e9;
  static const std::vector<Row> all{
      pair("`NamedMutex` lock + unlock", "pair/keyrack NamedMutex", 1.2),
      pair("keyed lock + unlock, bound to the process, one key", "pair/keyed", 1.5),
      pair("… one key of 21 bytes", "pair/keyed, odd length", 1.5),
      pair("… 10,000 random keys", "pair/keyed, 10k keys", 2.2),
      pair("… with a lease, one key", "pair/keyed, lease", 2.2),
      pair("… with a lease, 10,000 random keys", "pair/keyed, lease, 10k keys", 3.0),
      against("… 1,000,000 random keys, against as many robust mutexes", "million/keyed", "million/robust mutexes",
              1.6),
      {"… the same, each pair done before the next begins",
       Form::time_ratio,
       {"million/keyed, one by one"},
       {"million/robust mutexes, one by one"}},
      pair("… a new signee in every pair", "pair/new signee", 6),
      pair("check", "check", 1),
      pair("check, a signee of 26 bytes", "check, long signee", 1),
      pair("lock refused by a living holder", "refused", 2),
      pair("lock refused, a holder of 26 bytes", "refused, long signee", 2),
      pair("first use of a key + unlock, table 90 % full", "insert", 10),
      pair("… and a key evicted for it, the unlocked scattered", "evict", 10),
      pair("… and a key evicted for it, the unlocked side by side", "evict, side by side", 10),
      pair("names: acquire + release, 10 held", "names/10 held", 4),
      pair("names: the same with `auto_release_after`", "names/10 held, auto release", 4),
      against("names: 10,000 held, against 10 held", "names/10k held", "names/10 held", 1.5),
      pair("names: hold + release", "names/hold", 20),
      amount("names: threads started per hold", {"names/hold", "threads_per_hold"}, 0, "threads", 1),
      speed("two processes on disjoint keys, against one: keyed", "two processes, disjoint/keyrack keyed, waiting",
            "one process/keyrack keyed, waiting", 1.9),
      speed("two processes on disjoint keys, against one: `NamedMutex`", "two processes, disjoint/keyrack NamedMutex",
            "one process/keyrack NamedMutex", 1.9),
      speed("two processes on one hot key, speed against robust mutexes: keyed",
            "two processes, hot/keyrack keyed, waiting", "two processes, hot/robust mutex", 0.5),
      speed("two processes on one hot key, speed against robust mutexes: `NamedMutex`",
            "two processes, hot/keyrack NamedMutex", "two processes, hot/robust mutex", 0.5),
      against("hand-over to a sleeping waiter, against a raw futex: keyed", "hand-over/keyrack keyed, waiting",
              "hand-over/raw futex", 1.25),
      against("hand-over to a sleeping waiter, against a raw futex: `NamedMutex`", "hand-over/keyrack NamedMutex",
              "hand-over/raw futex", 1.25),
      against("SIGKILL of the holder to its waiter holding it, against a robust mutex: keyed, p50",
              "death/keyrack keyed, waiting", "death/robust mutex", 1.5),
      amount("… keyed, p99", {"death/keyrack keyed, waiting", "p99_ns"}, 5, "ms", ms),
      against("… `NamedMutex`, p50", "death/keyrack NamedMutex", "death/robust mutex", 1.5),
      amount("… `NamedMutex`, p99", {"death/keyrack NamedMutex", "p99_ns"}, 5, "ms", ms),
      rival("speed against Berkeley DB: uncontended", "one process", "Berkeley DB lock subsystem", 4),
      rival("… two processes on disjoint keys", "two processes, disjoint", "Berkeley DB lock subsystem", 15),
      rival("… two processes on one hot key", "two processes, hot", "Berkeley DB lock subsystem", 50),
      rival("speed against flock, a file for each key", "one process", "flock, open + lock + close", 25),
      rival("speed against SQLite, a transaction", "one process", "SQLite, BEGIN IMMEDIATE + COMMIT", 45),
      rival("speed against Redis", "one process", "Redis, SET NX + script", 400),
      rival("speed against PostgreSQL", "one process", "PostgreSQL, advisory lock", 400),
      counting("keyed lock + unlock, against the same with nothing counted", "counting/keyed", 1.05),
      counting("… `NamedMutex`", "counting/mutex", 1.05),
      counting("… lock refused by a living holder", "counting/refused", 1.05),
      counting("… names: acquire + release", "counting/names", 1.05),
      amount("by how much others fall while `keyrack top` looks ten times a second", {"top", "others_fall_percent"}, 5,
             "%", 1),
      amount("dump of 1,000,000 records", {"dump"}, 0.5, "s", s),
      amount("… by how much others fall meanwhile", {"dump", "others_fall_percent"}, 5, "%", 1),
      amount("attach to a segment of 1,000,000 records", {"attach"}, 200, "µs", us),
      only_told("… after the death of another process", "attach, after a death", "µs", us),
      only_told("on `etcd://`, one member on this host: keyed lock + unlock", "pair/keyrack on etcd", "ms", ms),
      only_told("… confirm", "confirm/keyrack on etcd", "ms", ms),
      only_told("… names: acquire + release, 10 held", "names/keyrack on etcd", "ms", ms),
      only_told("… names: hold + release, 10 held", "hold/keyrack on etcd", "ms", ms),
      only_told("… hand-over to a sleeping waiter", "hand-over/keyrack on etcd", "ms", ms),
      only_told("… SIGKILL of the holder to its waiter holding it, `session_ttl=2s`", "death/keyrack on etcd", "s", s),
      amount("memory per record", {"memory", "bytes_per_record"}, 512, "bytes", 1),
  };
  return all;
}

}    // namespace keyrack::bench
