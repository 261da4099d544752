// Every rival. A new one is a Contender in a header of this folder, a line here, and one in report/contenders.cpp. The
// libraries of some need not be there: CMake says which are.
#pragma once

#include "harness/contender.hpp"
#include "rivals/files.hpp"
#include "rivals/known_address.hpp"
#include "rivals/named.hpp"

#ifdef HAVE_BERKELEY_DB
#include "rivals/berkeley_db.hpp"
#endif
#ifdef HAVE_SQLITE
#include "rivals/sqlite.hpp"
#endif
#ifdef HAVE_REDIS
#include "rivals/redis.hpp"
#endif
#ifdef HAVE_ETCD
#include "rivals/etcd.hpp"
#endif
#ifdef HAVE_POSTGRESQL
#include "rivals/postgresql.hpp"
#endif

namespace keyrack::bench {

using Rivals = Contenders<
#ifdef HAVE_BERKELEY_DB
    BerkeleyDb,
#endif
#ifdef HAVE_SQLITE
    SqliteTransaction, SqliteRow,
#endif
#ifdef HAVE_REDIS
    RedisLock,
#endif
#ifdef HAVE_ETCD
    KeyrackOnEtcd,
#endif
#ifdef HAVE_POSTGRESQL
    PostgresAdvisory,
#endif
    NamedMutexKeptOpen, NamedMutexOpenedPerUse, NamedSemaphore, FlockKeptOpen, FlockPerKey, OfdRange<0>,
    OfdRange<1'000>, RawCas, PlainMutex, RobustMutex, RawFutex>;

}    // namespace keyrack::bench
