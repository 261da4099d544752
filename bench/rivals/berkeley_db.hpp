// The lock subsystem of Berkeley DB: a lock table in shared memory, by key, without a server. What a dead process held
// stays held until somebody has every other one leave and makes the table anew.
#pragma once

#include "harness/keys.hpp"
#include "harness/processes.hpp"
#include "harness/scratch.hpp"

#include <db.h>

namespace keyrack::bench {

class BerkeleyDb {
 public:
  static constexpr std::string_view kName = "Berkeley DB lock subsystem";
  static constexpr bool kSurvivesDeath = false, kSleeps = true;

  explicit BerkeleyDb(std::size_t keys) : keys_(keys) { (void)locker(); }

  void lock(std::size_t key) {
    Locker& self = locker();
    DBT object{};
    object.data = const_cast<char*>(keys_[key].data());
    object.size = static_cast<u_int32_t>(keys_[key].size());
    must(self.table->lock_get(self.table, self.id, 0, &object, DB_LOCK_WRITE, &self.held), "lock_get");
  }
  void unlock(std::size_t) {
    Locker& self = locker();
    must(self.table->lock_put(self.table, &self.held), "lock_put");
  }

 private:
  static void must(int error, const char* what) {
    if (error != 0) [[unlikely]]
      throw std::runtime_error(std::string(what) + ": " + ::db_strerror(error));
  }

  struct Locker {
    explicit Locker(const std::string& folder) {
      must(::db_env_create(&table, 0), "db_env_create");
      must(table->open(table, folder.c_str(), DB_CREATE | DB_INIT_LOCK, 0600), "DB_ENV->open");
      must(table->lock_id(table, &id), "lock_id");
    }
    ~Locker() {
      (void)table->lock_id_free(table, id);
      (void)table->close(table, 0);
    }
    Locker(const Locker&) = delete;
    Locker& operator=(const Locker&) = delete;

    DB_ENV* table = nullptr;
    u_int32_t id = 0;
    DB_LOCK held{};
  };
  Locker& locker() {
    return locker_.get([this] { return std::make_unique<Locker>(folder_.path()); });
  }

  ScratchFolder folder_;
  KeyTexts keys_;
  PerProcess<Locker> locker_;
};

}    // namespace keyrack::bench
