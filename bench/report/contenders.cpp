#include "contenders.hpp"

namespace keyrack::bench {

const std::vector<ContenderFacts>& contenders() {
  static const std::vector<ContenderFacts> all{
      {"keyrack NamedMutex", "–"},
      {"keyrack keyed, waiting", "–"},
      {"raw CAS + CAS", "keys, owners, leases, sleep, safety from crashes"},
      {"raw futex", "keys, owners, leases, safety from crashes"},
      {"plain mutex", "keys, leases, tokens, inspection, safety from crashes"},
      {"robust mutex", "keys, leases, tokens, inspection"},
      {"POSIX named semaphore", "owners, leases, tokens, safety from crashes"},
      {"Boost named_mutex, kept open", "owners, leases, tokens; locked for ever when its holder dies"},
      {"Boost named_mutex, opened per use", "the same"},
      {"Berkeley DB lock subsystem", "leases, tokens; after a death all must leave and begin anew"},
      {"flock, files kept open", "leases, tokens, levels"},
      {"flock, open + lock + close", "leases, tokens, levels"},
      {"OFD range lock", "leases, tokens, levels"},
      {"OFD range lock, 1,000 others held", "the same; its cost grows with the locks held"},
      {"SQLite, BEGIN IMMEDIATE + COMMIT", "leases, tokens, levels, sleep; one lock for each database"},
      {"SQLite, lock row in and out", "sleep, safety from crashes, unless one builds them"},
      {"Redis, SET NX + script", "sleep; needs a server; a dead holder's lock lasts until its time is out"},
      {"keyrack on etcd", "speed; needs a cluster; a death is noticed after seconds"},
      {"PostgreSQL, advisory lock", "leases, tokens, levels; needs a server"},
  };
  return all;
}

}    // namespace keyrack::bench
