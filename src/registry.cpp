// Which backend answers a URL.
#include <keyrack/backend.hpp>

#include "query.hpp"
#include "shm/backend.hpp"

#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <shared_mutex>

namespace keyrack {
namespace {

class Registry {
 public:
  // Made on first use and never destroyed: static objects of other files may register and open whenever they like.
  static Registry& instance() {
    static Registry& registry = *new Registry;
    return registry;
  }

  void add(Backend backend) {
    const std::unique_lock writing(mutex_);
    std::string protocol = backend.protocol;
    backends_.insert_or_assign(std::move(protocol), std::move(backend));
  }

  // A copy, so that a backend runs without the lock: opening may take long, or register something.
  std::optional<Backend> find(std::string_view protocol) const {
    const std::shared_lock reading(mutex_);
    const auto found = backends_.find(protocol);
    return found == backends_.end() ? std::nullopt : std::optional(found->second);
  }

  std::vector<Backend> all() const {
    const std::shared_lock reading(mutex_);
    std::vector<Backend> all;
    for (const auto& [protocol, backend] : backends_) all.push_back(backend);
    return all;
  }

 private:
  Registry() { add(shm::backend()); }

  mutable std::shared_mutex mutex_;
  std::map<std::string, Backend, std::less<>> backends_;
};

template <class Service>
Opened<Service> open(std::string_view url, std::function<Opened<Service>(std::string_view)> Backend::*opener,
                     std::string_view service) {
  try {
    const auto colon = url.find("://");
    const std::string protocol(url.substr(0, colon));
    if (colon == url.npos || protocol.empty()) {
      return OpenError{Errc::bad_url, url::without_password(url) + " has no protocol (write shm://NAME)"};
    }
    const std::string_view rest = url.substr(colon + 3);
    if (rest.empty()) return OpenError{Errc::bad_url, url::without_password(url) + " has nothing after ://"};

    const std::optional<Backend> backend = Registry::instance().find(protocol);
    if (!backend) {
      std::string detail = protocol + ":// is not registered (there are";
      for (const Backend& known : backends()) detail += " " + known.protocol + "://";
      return OpenError{Errc::unknown_backend, detail + ")"};
    }
    const auto& open_service = (*backend).*opener;
    if (!open_service) {
      return OpenError{Errc::unknown_backend, (protocol + ":// gives no ").append(service)};
    }
    return open_service(rest);
  } catch (const std::bad_alloc&) {
    return OpenError{Errc::backend_unavailable, "out of memory"};
  } catch (const std::exception& error) {
    return OpenError{Errc::backend_unavailable, error.what()};
  }
}

}    // namespace

Opened<LockService> open_lock_service(std::string_view url) {
  return open(url, &Backend::open_lock_service, "lock service");
}

Opened<NameManager> open_name_manager(std::string_view url) {
  return open(url, &Backend::open_name_manager, "name manager");
}

void register_backend(Backend backend) { Registry::instance().add(std::move(backend)); }

std::vector<Backend> backends() { return Registry::instance().all(); }

}    // namespace keyrack
