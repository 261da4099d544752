// The least that a user of the package does: a lock, a name, and the segment gone at the end.
#include <keyrack/keyrack.hpp>

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>

namespace {

void expect(bool held, const char* what) {
  if (!held) throw std::runtime_error(std::string("expected ") + what);
}

void use(const std::string& segment) {
  auto locks = keyrack::open_lock_service("shm://" + segment + "?slots=64&sessions=8").value();
  auto grant = locks->lock({.signature = "job/42", .signee = "me"}, {.lifetime = keyrack::Lifetime::process});
  expect(grant.has_value() && grant->status == keyrack::LockStatus::ok && grant->token > 0, "the lock");
  expect(locks->check("job/42").value().signee == "me", "to be the holder");
  auto other = locks->lock({.signature = "job/42", .signee = "somebody else"});
  expect(other.has_error() && other.error().code == keyrack::Errc::forbidden, "a second signee to be refused");
  expect(locks->unlock({.signature = "job/42", .signee = "me"}).value().ok(), "the unlock");

  auto names = keyrack::open_name_manager("shm://" + segment).value();
  auto name = names->hold("worker").value();
  expect(name.name() == "0" && !name.status(), "the first name of the family");
}

#ifdef EXPECT_ETCD
constexpr bool kHasEtcd = true;
#else
constexpr bool kHasEtcd = false;
#endif

void use_etcd() {
  auto opened = keyrack::open_lock_service("etcd://127.0.0.1:1/nowhere?timeout=50ms");
  const bool known = opened.has_error() && opened.error().code == keyrack::Errc::backend_unavailable;
  expect(known == kHasEtcd, kHasEtcd ? "etcd:// to be known" : "etcd:// not to be known");
}

}    // namespace

int main() {
  const std::string segment = "stranger-" + std::to_string(getpid());
  int status = EXIT_SUCCESS;
  try {
    use(segment);
    use_etcd();
  } catch (const std::exception& e) {
    std::cerr << "stranger: " << e.what() << '\n';
    status = EXIT_FAILURE;
  }
  if (auto removed = keyrack::remove_segment(segment); !removed) {
    std::cerr << "stranger: cannot remove the segment: " << removed.error().message() << '\n';
    status = EXIT_FAILURE;
  }
  return status;
}
