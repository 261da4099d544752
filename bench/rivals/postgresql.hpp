// PostgreSQL: advisory locks of a session. Who finds one held waits asleep for the server's answer.
#pragma once

#include "rivals/server.hpp"

#include <endian.h>
#include <libpq-fe.h>

namespace keyrack::bench {

class PostgresServer {
 public:
  /// Started on first use, ended with this process.
  static PostgresServer& running() {
    static PostgresServer server;
    return server;
  }
  static std::string program(const std::string& name) {
    return find_program({("/usr/lib/postgresql/*/bin/" + name).c_str(), ("/usr/bin/" + name).c_str(),
                         ("/usr/local/bin/" + name).c_str()});
  }

  std::string address() const { return "host=" + server_.folder().path() + " user=bench dbname=postgres"; }

 private:
  PostgresServer() : server_(Server::As::nobody) {
    const std::string data = server_.folder().path("data");
    server_.run(program("initdb"), {"initdb", "--pgdata", data, "--auth=trust", "--username=bench", "--locale=C",
                                    "--encoding=UTF8", "--no-sync", "--no-instructions"});
    server_.start(program("postgres"),
                  {"postgres", "-D", data, "-c", "listen_addresses=", "-c",
                   "unix_socket_directories=" + server_.folder().path(), "-c", "fsync=off", "-c", "autovacuum=off",
                   "-c", "shared_buffers=16MB", "-c", "dynamic_shared_memory_type=mmap"},
                  SIGQUIT);
    server_.await_ready("PostgreSQL", [this] { return ::PQping(address().c_str()) == PQPING_OK; });
  }

  Server server_;
};

class PostgresAdvisory {
 public:
  static constexpr std::string_view kName = "PostgreSQL, advisory lock";
  static constexpr bool kSurvivesDeath = true, kSleeps = true;
  static bool installed() {
    return !PostgresServer::program("postgres").empty() && !PostgresServer::program("initdb").empty();
  }

  explicit PostgresAdvisory(std::size_t) { (void)PostgresServer::running(); }

  void lock(std::size_t key) { connection().run("lock", key); }
  void unlock(std::size_t key) { connection().run("unlock", key); }

 private:
  struct Connection {
    explicit Connection(const std::string& address) : session(::PQconnectdb(address.c_str())) {
      require(::PQstatus(session) == CONNECTION_OK, "no connection to PostgreSQL");
      done(::PQprepare(session, "lock", "SELECT pg_advisory_lock($1::bigint)", 1, nullptr), PGRES_COMMAND_OK);
      done(::PQprepare(session, "unlock", "SELECT pg_advisory_unlock($1::bigint)", 1, nullptr), PGRES_COMMAND_OK);
    }
    ~Connection() { ::PQfinish(session); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void run(const char* statement, std::size_t key) {
      const std::uint64_t number = htobe64(key);
      const char* values[] = {reinterpret_cast<const char*>(&number)};
      const int lengths[] = {sizeof number};
      const int formats[] = {1};
      done(::PQexecPrepared(session, statement, 1, values, lengths, formats, 1), PGRES_TUPLES_OK);
    }
    static void done(PGresult* result, ExecStatusType expected) {
      const bool as_expected = ::PQresultStatus(result) == expected;
      ::PQclear(result);
      require(as_expected, "PostgreSQL refuses");
    }

    PGconn* session;
  };
  Connection& connection() {
    return connection_.get([] { return std::make_unique<Connection>(PostgresServer::running().address()); });
  }

  PerProcess<Connection> connection_;
};

}    // namespace keyrack::bench
