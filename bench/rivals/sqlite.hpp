// SQLite as a lock: its own lock of a whole database, or a row for each lock. Who finds it held asks again.
#pragma once

#include "harness/keys.hpp"
#include "harness/processes.hpp"
#include "harness/scratch.hpp"

#include <sqlite3.h>

#include <vector>

namespace keyrack::bench {

/// A database in a file, written ahead and never synchronised: what a host's crash does to it is no concern of a lock.
class SqliteFile {
 public:
  explicit SqliteFile(const std::string& path) {
    must(::sqlite3_open_v2(path.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                           nullptr));
    ::sqlite3_busy_handler(
        database_, [](void*, int) { return 1; }, nullptr);
    run("PRAGMA journal_mode = WAL");
    run("PRAGMA synchronous = OFF");
  }
  ~SqliteFile() {
    for (sqlite3_stmt* statement : statements_) ::sqlite3_finalize(statement);
    ::sqlite3_close(database_);
  }
  SqliteFile(const SqliteFile&) = delete;
  SqliteFile& operator=(const SqliteFile&) = delete;

  void run(const char* sql) { must(::sqlite3_exec(database_, sql, nullptr, nullptr, nullptr)); }
  sqlite3_stmt* prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    must(::sqlite3_prepare_v2(database_, sql, -1, &statement, nullptr));
    statements_.push_back(statement);
    return statement;
  }
  /// Runs it to its end; the answer is that of its last step.
  static int step(sqlite3_stmt* statement) {
    ::sqlite3_step(statement);
    return ::sqlite3_reset(statement);
  }
  void must(int code) const {
    if (code != SQLITE_OK) [[unlikely]]
      throw std::runtime_error(std::string("SQLite: ") + ::sqlite3_errmsg(database_));
  }

 private:
  sqlite3* database_ = nullptr;
  std::vector<sqlite3_stmt*> statements_;
};

/// A transaction that may write excludes every other: a database for each key.
class SqliteTransaction {
 public:
  static constexpr std::string_view kName = "SQLite, BEGIN IMMEDIATE + COMMIT";
  static constexpr bool kSurvivesDeath = true, kSleeps = false;

  explicit SqliteTransaction(std::size_t keys) : keys_(keys) { (void)databases(); }

  void lock(std::size_t key) {
    Database& database = *databases()[key];
    database.file.must(SqliteFile::step(database.begin));
  }
  void unlock(std::size_t key) {
    Database& database = *databases()[key];
    database.file.must(SqliteFile::step(database.commit));
  }

 private:
  struct Database {
    explicit Database(const std::string& path) : file(path) {}
    SqliteFile file;
    sqlite3_stmt* begin = file.prepare("BEGIN IMMEDIATE");
    sqlite3_stmt* commit = file.prepare("COMMIT");
  };
  using Databases = std::vector<std::unique_ptr<Database>>;
  Databases& databases() {
    return databases_.get([this] {
      auto all = std::make_unique<Databases>();
      for (std::size_t key = 0; key < keys_; ++key) {
        all->push_back(std::make_unique<Database>(folder_.path(std::to_string(key))));
      }
      return all;
    });
  }

  ScratchFolder folder_;
  std::size_t keys_;
  PerProcess<Databases> databases_;
};

/// Held is what has a row.
class SqliteRow {
 public:
  static constexpr std::string_view kName = "SQLite, lock row in and out";
  static constexpr bool kSurvivesDeath = false, kSleeps = false;

  explicit SqliteRow(std::size_t keys) : keys_(keys) {
    SqliteFile(path()).run("CREATE TABLE locks (key TEXT PRIMARY KEY, signee TEXT NOT NULL) WITHOUT ROWID");
  }

  void lock(std::size_t key) {
    Database& self = database();
    bind(self.insert, 1, keys_[key]);
    bind(self.insert, 2, kSignee);
    int code = 0;
    while ((code = SqliteFile::step(self.insert)) == SQLITE_CONSTRAINT) {
    }
    self.file.must(code);
  }
  void unlock(std::size_t key) {
    Database& self = database();
    bind(self.remove, 1, keys_[key]);
    bind(self.remove, 2, kSignee);
    self.file.must(SqliteFile::step(self.remove));
  }

 private:
  struct Database {
    explicit Database(const std::string& path) : file(path) {}
    SqliteFile file;
    sqlite3_stmt* insert = file.prepare("INSERT INTO locks VALUES (?, ?)");
    sqlite3_stmt* remove = file.prepare("DELETE FROM locks WHERE key = ? AND signee = ?");
  };
  static void bind(sqlite3_stmt* statement, int at, std::string_view text) {
    ::sqlite3_bind_text(statement, at, text.data(), static_cast<int>(text.size()), nullptr);
  }
  std::string path() const { return folder_.path("locks"); }
  Database& database() {
    return database_.get([this] { return std::make_unique<Database>(path()); });
  }

  ScratchFolder folder_;
  KeyTexts keys_;
  PerProcess<Database> database_;
};

}    // namespace keyrack::bench
