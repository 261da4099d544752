// Redis: the lock that its manual describes. SET NX with a time to live takes it, a script that compares and deletes
// gives it back. Who finds it held asks again.
#pragma once

#include "harness/keys.hpp"
#include "rivals/server.hpp"

#include <hiredis/hiredis.h>

namespace keyrack::bench {

class RedisServer {
 public:
  /// Started on first use, ended with this process.
  static RedisServer& running() {
    static RedisServer server;
    return server;
  }
  /// Debian's redis-tools has the server under the name of a tool.
  static std::string program() {
    return find_program({"/usr/bin/redis-server", "/usr/local/bin/redis-server", "/usr/bin/redis-check-rdb"});
  }

  std::string socket() const { return server_.folder().path("socket"); }

 private:
  RedisServer() : server_(Server::As::caller) {
    server_.start(program(),
                  {"redis-server", "--port", "0", "--unixsocket", socket(), "--save", "", "--appendonly", "no"});
    server_.await_ready("Redis", [this] {
      redisContext* connection = ::redisConnectUnix(socket().c_str());
      const bool connected = connection != nullptr && connection->err == 0;
      ::redisFree(connection);
      return connected;
    });
  }

  Server server_;
};

class RedisLock {
 public:
  static constexpr std::string_view kName = "Redis, SET NX + script";
  static constexpr bool kSurvivesDeath = false, kSleeps = false;
  static bool installed() { return !RedisServer::program().empty(); }

  explicit RedisLock(std::size_t keys) : keys_(keys) { (void)RedisServer::running(); }

  void lock(std::size_t key) {
    Connection& self = connection();
    const std::string_view text = keys_[key];
    while (self.ask("SET %b %b NX PX 10000", text.data(), text.size(), self.name.data(), self.name.size()) ==
           REDIS_REPLY_NIL) {
    }
  }
  void unlock(std::size_t key) {
    Connection& self = connection();
    const std::string_view text = keys_[key];
    (void)self.ask("EVALSHA %s 1 %b %b", self.script.c_str(), text.data(), text.size(), self.name.data(),
                   self.name.size());
  }

 private:
  struct Connection {
    explicit Connection(const std::string& socket) : context(::redisConnectUnix(socket.c_str())) {
      require(context != nullptr && context->err == 0, "no connection to Redis");
      (void)ask("SCRIPT LOAD %s",
                "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end");
    }
    ~Connection() { ::redisFree(context); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// The kind of the answer; a text that is answered is kept.
    template <class... Arguments>
    int ask(const char* command, Arguments... arguments) {
      auto* reply = static_cast<redisReply*>(::redisCommand(context, command, arguments...));
      require(reply != nullptr, "Redis has gone");
      const int type = reply->type;
      if (type == REDIS_REPLY_STRING) script.assign(reply->str, reply->len);
      ::freeReplyObject(reply);
      require(type != REDIS_REPLY_ERROR, "Redis refuses");
      return type;
    }

    redisContext* context;
    std::string script, name = std::string(kSignee) + "-" + std::to_string(::getpid());
  };
  Connection& connection() {
    return connection_.get([] { return std::make_unique<Connection>(RedisServer::running().socket()); });
  }

  KeyTexts keys_;
  PerProcess<Connection> connection_;
};

}    // namespace keyrack::bench
