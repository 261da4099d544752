#include "scenarios.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <utility>

int keyrack_command_main(int argc, char** argv);    // tools/keyrack/main.cpp, renamed

namespace keyrack::tests {

namespace {

using std::chrono::milliseconds;
using testing::Child;

constexpr LockOptions kBound{.lifetime = Lifetime::process};
constexpr const char* kGeometry = "slots=16&sessions=4";
constexpr const char* kLargeGeometry = "slots=8192&sessions=4";    // some extents of huge pages
// Too long to lie within a std::string: handling it allocates.
constexpr std::string_view kKey = "a key that is longer than a short string";
constexpr std::string_view kSignee = "a signee that is longer than a short string";
constexpr std::string_view kOther = "another signee that is longer than a short string";
constexpr std::string_view kFamily = "a family whose name is longer than a short string";

std::unique_ptr<LockService> open_locks(const ScratchSegment& segment) {
  return open_lock_service(segment.url(kGeometry)).value();
}
std::unique_ptr<NameManager> open_names(const ScratchSegment& segment) {
  return open_name_manager(segment.url(kGeometry)).value();
}

/// A scenario of a call on the lock service; of the name manager.
Scenario with_locks(std::string name, std::function<void(Stage&, LockService&)> play) {
  return {std::move(name), {}, [play = std::move(play)](Stage& stage, Surroundings&) {
            const auto locks = open_locks(stage.segment);
            play(stage, *locks);
          }};
}
Scenario with_names(std::string name, std::function<void(Stage&, NameManager&)> play) {
  return {std::move(name), {}, [play = std::move(play)](Stage& stage, Surroundings&) {
            const auto names = open_names(stage.segment);
            play(stage, *names);
          }};
}

template <class Service, class Open>
void open_one(Stage& stage, Open&& open, const char* geometry = kGeometry) {
  const std::string url = stage.segment.url(geometry);
  std::unique_ptr<Service> service;
  stage.act([&] {
    service.reset();
    auto opened = open(url);
    if (opened) service = *std::move(opened);
    return opened ? Result<void, OpenError>{} : Result<void, OpenError>{opened.error()};
  });
}

void make_segment(const ScratchSegment& segment, Surroundings&) { (void)open_locks(segment); }

/// Another process holds the key, bound to it.
void make_holder(const ScratchSegment& segment, Surroundings& surroundings) {
  surroundings.others.emplace_back([&segment](Child::Link& parent) {
    const auto locks = open_locks(segment);
    parent.say(testing::outcome(locks->lock({kKey, kOther}, kBound)));
    parent.hear();
  });
  if (surroundings.others.back().hear() != "ok") throw std::runtime_error("the other process does not hold the key");
}

/// `keyrack WORDS` in this process; its status as an error. What it says on standard error is one line, if anything.
Scenario command(std::vector<std::string> words) {
  std::string name = "keyrack";
  for (const std::string& word : words) name += " " + word;
  const auto play = [words = std::move(words)](Stage& stage, Surroundings&) {
    ::setenv("KEYRACK_URL", stage.segment.url(kGeometry).c_str(), 1);
    const int told = ::memfd_create("told", 0), printed = ::memfd_create("printed", 0);
    ::dup2(printed, STDOUT_FILENO);
    ::dup2(told, STDERR_FILENO);
    stage.act([&]() -> Result<void, OpenError> {
      const off_t told_before = ::lseek(told, 0, SEEK_END);
      std::vector<std::string> line{"keyrack"};
      line.insert(line.end(), words.begin(), words.end());
      std::vector<char*> arguments;
      for (std::string& word : line) arguments.push_back(word.data());
      const int status = keyrack_command_main(static_cast<int>(arguments.size()), arguments.data());
      if (status == 0) return {};
      std::string text(4096, '\0');
      text.resize(static_cast<std::size_t>(std::max<ssize_t>(::pread(told, text.data(), text.size(), told_before), 0)));
      if (status < 0 || status > 3) stage.fault("ends with status " + std::to_string(status));
      if (!text.starts_with("keyrack: ") || text.find('\n') + 1 != text.size()) stage.fault("tells this: " + text);
      return OpenError{status == 3 ? Errc::backend_unavailable : status == 2 ? Errc::bad_request : Errc::lost, text};
    });
  };
  return {name, make_segment, play, false};
}

std::vector<Scenario> all() {
  std::vector<Scenario> list;

  // --- Opening ---
  const auto locks = [](Stage& stage, Surroundings&) { open_one<LockService>(stage, open_lock_service); };
  const auto names = [](Stage& stage, Surroundings&) { open_one<NameManager>(stage, open_name_manager); };
  list.push_back({"create a segment", {}, locks});
  list.push_back({"create a large segment", {}, [](Stage& stage, Surroundings&) {
                    open_one<LockService>(stage, open_lock_service, kLargeGeometry);
                  }});
  list.push_back({"open a lock service", make_segment, locks});
  list.push_back({"open a name manager", make_segment, names});
  // The one that makes the call ends without closing: its death must be seen.
  list.push_back({"open and die", make_segment, [](Stage& stage, Surroundings&) {
                    std::unique_ptr<LockService> service;
                    const std::string url = stage.segment.url();
                    stage.act([&] {
                      auto opened = open_lock_service(url);
                      if (opened && !service) service = *std::move(opened);
                      return opened ? Result<void, OpenError>{} : Result<void, OpenError>{opened.error()};
                    });
                    ::_exit(0);
                  }});
  list.push_back({"open a second service", {}, [locks](Stage& stage, Surroundings& surroundings) {
                    const auto first = open_names(stage.segment);
                    locks(stage, surroundings);
                  }});
  list.push_back({"finish an unfinished segment",
                  [](const ScratchSegment& segment, Surroundings&) {
                    ::close(::open(segment.path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
                  },
                  locks});
  list.push_back({"open after a death",
                  [](const ScratchSegment& segment, Surroundings& surroundings) {
                    make_holder(segment, surroundings);
                    surroundings.others.back().kill();
                  },
                  locks});
  list.push_back(
      {"first use after a fork",
       [](const ScratchSegment& segment, Surroundings& surroundings) { surroundings.locks = open_locks(segment); },
       [](Stage& stage, Surroundings& surroundings) {
         stage.keeps_session();
         stage.act([&] {
           (void)surroundings.locks->unlock({kKey, kSignee});
           return surroundings.locks->lock({kKey, kSignee});
         });
       }});

  // --- Locks ---
  list.push_back(with_locks("lock", [](Stage& stage, LockService& service) {
    stage.act([&] { return service.lock({kKey, kSignee}); });
  }));
  list.push_back(with_locks("lock that is taken over", [](Stage& stage, LockService& service) {
    (void)service.lock({kKey, kOther});
    stage.act([&] { return service.lock({kKey, kSignee}, {.force = true}); });
  }));
  list.push_back(with_locks("lock that is refused", [](Stage& stage, LockService& service) {
    (void)service.lock({kKey, kOther});
    stage.act([&] { return service.lock({kKey, kSignee}); });
  }));
  list.push_back(with_locks("lock with eviction", [](Stage& stage, LockService& service) {
    for (int i = 0; i < 40; ++i) {
      (void)service.lock({std::to_string(i), kOther});
      (void)service.unlock({std::to_string(i), kOther});
    }
    stage.act([&] { return service.lock({kKey, kSignee}); });
  }));
  list.push_back(with_locks("unlock", [](Stage& stage, LockService& service) {
    (void)service.lock({kKey, kSignee});
    stage.act([&] { return service.unlock({kKey, kSignee}); });
  }));
  list.push_back(with_locks("unlock that is refused", [](Stage& stage, LockService& service) {
    (void)service.lock({kKey, kOther});
    stage.act([&] { return service.unlock({kKey, kSignee}); });
  }));
  list.push_back(with_locks("check", [](Stage& stage, LockService& service) {
    (void)service.lock({kKey, kSignee});
    stage.act([&] { return service.check(kKey); });
  }));
  list.push_back(with_locks("confirm", [](Stage& stage, LockService& service) {
    const auto grant = service.lock({kKey, kSignee});
    stage.act([&] { return service.confirm(kKey, grant->token); });
  }));
  list.push_back(with_locks("lock_for until a lease ends", [](Stage& stage, LockService& service) {
    stage.act([&] {
      (void)service.lock({kKey, kOther}, {.force = true, .duration = milliseconds(4)});
      return service.lock_for({kKey, kSignee}, std::chrono::minutes(1));
    });
  }));
  list.push_back({"lock_for that times out", make_holder, [](Stage& stage, Surroundings&) {
                    const auto service = open_locks(stage.segment);
                    stage.act([&] { return service->lock_for({kKey, kSignee}, milliseconds(5)); });
                  }});
  list.push_back(with_locks("NamedMutex", [](Stage& stage, LockService& service) {
    stage.act([&] {
      try {
        NamedMutex mutex(service, kKey);
        const std::unique_lock guard(mutex);
        return std::error_code{};
      } catch (const std::bad_alloc&) {    // as it is documented
        return make_error_code(Errc::backend_unavailable);
      } catch (const std::system_error& error) {
        return error.code();
      }
    });
  }));

  // --- Names ---
  list.push_back(with_names("hold", [](Stage& stage, NameManager& service) {
    stage.act([&] { return service.hold(kFamily); });    // and released at once
  }));
  list.push_back(with_names("release of what is held", [](Stage& stage, NameManager& service) {
    auto held = service.hold(kFamily);
    stage.act([&] { return held->release(); });
  }));
  list.push_back(with_names(
      "acquire", [](Stage& stage, NameManager& service) { stage.act([&] { return service.acquire(kFamily); }); }));
  list.push_back(with_names("acquire of a name that is free", [](Stage& stage, NameManager& service) {
    for (int i = 0; i < 3; ++i) (void)service.acquire(kFamily);
    (void)service.release(kFamily, "1");
    stage.act([&] { return service.acquire(kFamily); });
  }));
  list.push_back(with_names("try_hold", [](Stage& stage, NameManager& service) {
    (void)service.acquire(kFamily);
    (void)service.release(kFamily, "0");
    stage.act([&] { return service.try_hold(kFamily, "0"); });
  }));
  list.push_back(with_names("try_acquire", [](Stage& stage, NameManager& service) {
    (void)service.acquire(kFamily);
    stage.act([&] {
      (void)service.release(kFamily, "0");
      return service.try_acquire(kFamily, "0");
    });
  }));
  list.push_back(with_names("keep_alive", [](Stage& stage, NameManager& service) {
    (void)service.acquire(kFamily);
    stage.act([&] { return service.keep_alive(kFamily, "0"); });
  }));
  list.push_back(with_names("release", [](Stage& stage, NameManager& service) {
    (void)service.acquire(kFamily);
    stage.act([&] { return service.release(kFamily, "0"); });
  }));
  list.push_back(with_names("list", [](Stage& stage, NameManager& service) {
    for (int i = 0; i < 3; ++i) (void)service.acquire(kFamily);
    stage.act([&] { return service.list(); });
  }));
  list.push_back(with_names("reset", [](Stage& stage, NameManager& service) {
    for (int i = 0; i < 3; ++i) (void)service.acquire(kFamily);
    stage.act([&] { return service.reset(); });
  }));
  // Every name that was held is the lowest free one again, whatever failed.
  list.push_back({"close", make_segment, [](Stage& stage, Surroundings&) {
                    const std::string url = stage.segment.url();
                    stage.act([&]() -> Result<void, OpenError> {
                      auto service = open_name_manager(url);
                      if (!service) return service.error();
                      const auto a = (*service)->hold(kFamily), b = (*service)->hold(kFamily);
                      service->reset();
                      return {};
                    });
                    const auto service = open_names(stage.segment);
                    for (const char* expected : {"0", "1"}) {
                      const auto name = service->acquire(kFamily);
                      if (testing::outcome(name) != expected) stage.fault("a name is lost: " + testing::outcome(name));
                    }
                  }});

  // --- Looking, segments ---
  list.push_back({"open_inspector", make_segment, [](Stage& stage, Surroundings&) {
                    stage.act([&] { return open_inspector(stage.segment.name()); });
                  }});
  list.push_back({"snapshot", make_holder, [](Stage& stage, Surroundings&) {
                    const auto inspector = open_inspector(stage.segment.name()).value();
                    stage.act([&] { return inspector->snapshot(true); });
                  }});
  list.push_back({"verify", make_holder,
                  [](Stage& stage, Surroundings&) {
                    const auto inspector = open_inspector(stage.segment.name()).value();
                    stage.act([&]() -> Result<void> {
                      for (const Finding& finding : inspector->verify()) stage.fault(finding.what);
                      return {};
                    });
                  },
                  false});
  list.push_back({"remove_segment", make_segment, [](Stage& stage, Surroundings&) {
                    stage.act([&]() -> Result<void> {
                      const auto removed = remove_segment(stage.segment.name());
                      if (!removed && removed.error() == Errc::no_segment) return {};    // the first time did it
                      return removed;
                    });
                  }});
  list.push_back({"list_segments", make_segment, [](Stage& stage, Surroundings&) {
                    stage.act([&]() -> Result<void> {
                      const auto found = list_segments();
                      return found ? Result<void>{} : Result<void>{found.error()};
                    });
                  }});

  // --- The command ---
  for (std::vector<std::string> words : std::vector<std::vector<std::string>>{
           {"lock", "job", "--signee", "anna"},
           {"lock", "job", "--signee", "anna", "--wait", "3ms", "--format", "json"},
           {"unlock", "job", "--signee", "anna"},
           {"run", "job", "--", "/bin/true"},
           {"hold", "worker", "--", "/bin/true"},
           {"acquire", "worker"},
           {"release", "worker", "0"},
           {"list"},
           {"reset"},
           {"dump"},
           {"dump", "--format", "json"},
           {"stats"},
           {"verify"},
           {"create"},
           {"ls"},
           {"rm"},
       }) {
    list.push_back(command(std::move(words)));
  }
  return list;
}

}    // namespace

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> list = all();
  return list;
}

}    // namespace keyrack::tests
