// What a process lives in, and what may be odd about it: a pid that comes again, stops that no signal makes, clocks
// that are not everybody's, other mounts, other users' namespaces, a segment that is newer than the library.
#include "sanitizers.hpp"
#include "segment_fixture.hpp"

#include "shm/segment.hpp"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace keyrack::tests {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

std::string refusal() { return std::string("refused: ") + std::strerror(errno); }

bool write_to(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  return !file.fail();
}

/// Runs `act` in a child of the calling process, which waits for its end.
void in_a_child(const std::function<void()>& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    act();
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
}

class SurroundingsTest : public SegmentFixture {
 protected:
  std::unique_ptr<LockService> small() const { return open_locks("slots=256&sessions=16"); }
  std::string lock_as(const std::string& signee) const { return outcome(open_locks()->lock({"job", signee}, kBound)); }
};

#define SKIP_IF_REFUSED(words) \
  if ((words).starts_with("refused")) GTEST_SKIP() << "the system does not grant it: " << (words)

// --- The same pid again ---

class SamePidTest : public SurroundingsTest {
 protected:
  /// A PID namespace of its own. Each "next" makes a process in it that plays the next part and stays, "kill" kills it.
  /// All of them have the pid 101, and their keepers the thread id 102.
  Child new_namespace(const std::vector<std::function<std::string()>>& parts) const {
    return Child([=](Child::Link& parent) {
      if (::unshare(CLONE_NEWPID) != 0) {
        parent.say(refusal());
        return;
      }
      in_a_child([&] {
        pid_t member = -1;
        for (std::size_t part = 0;;) {
          if (parent.hear() == "kill") {
            ::kill(member, SIGKILL);
            ::waitpid(member, nullptr, 0);
            parent.say("killed");
            continue;
          }
          if (!write_to("/proc/sys/kernel/ns_last_pid", "100")) return parent.say(refusal());
          member = ::fork();
          if (member == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            parent.say(std::to_string(::getpid()) + " " + parts[part]());
            for (;;) ::pause();
          }
          ++part;
        }
      });
    });
  }

  table::Life life_of(std::uint32_t slot) const {
    shm::Options options;
    options.name = segment_.name();
    return {shm::open_segment(options).value()->table().life(slot).word.load()};
  }

  /// The sessions of the living whose pid is 101.
  std::vector<std::uint32_t> slots_of_them() const {
    std::vector<std::uint32_t> slots;
    for (const SessionPicture& session : snapshot().sessions) {
      if (session.alive && session.pid == 101) slots.push_back(session.slot);
    }
    return slots;
  }
};

TEST_F(SamePidTest, TheNextOneIsAnother) {
  const auto locks = small();
  const auto hold_all = [&] {
    const auto names = open_names();
    auto* name = new Result<HeldName>(names->hold("stack"));    // until the end of the process
    auto* mine = open_locks().release();
    return outcome(mine->lock({"job", "anna"}, kBound)) + " " + outcome(*name);
  };
  Child space = new_namespace({hold_all, hold_all});
  space.tell("next");
  const std::string words = space.hear();
  SKIP_IF_REFUSED(words);
  ASSERT_EQ(words, "101 ok 0");
  ASSERT_EQ(slots_of_them().size(), 1u);
  const std::uint32_t slot = slots_of_them()[0];
  const table::Life first = life_of(slot);
  const std::uint64_t token = locks->check("job")->token;
  space.tell("kill");
  ASSERT_EQ(space.hear(), "killed");

  space.tell("next");
  EXPECT_EQ(space.hear(), "101 transferred from anna 0") << "what the first one held is not its own";
  EXPECT_GT(locks->check("job")->token, token);
  EXPECT_EQ(outcome(locks->confirm("job", token)), "lost");
  ASSERT_EQ(slots_of_them(), std::vector{slot});
  const table::Life second = life_of(slot);
  EXPECT_EQ(second.futex() & 0x3fff'ffff, first.futex() & 0x3fff'ffff) << "the keepers have the same thread id";
  EXPECT_NE(second.generation(), first.generation());
}

TEST_F(SamePidTest, TheDeadAreNotTakenForTheLiving) {
  const auto locks = small();
  Child space = new_namespace(
      {[&] {
         return outcome(open_locks().release()->lock({"job", "anna"}, kBound));
       },
       [&] {
         auto* mine = open_locks().release();
         return outcome(mine->unlock({"job", "anna"})) + " " + outcome(mine->lock({"other", "anna"}, kBound));
       }});
  space.tell("next");
  const std::string words = space.hear();
  SKIP_IF_REFUSED(words);
  ASSERT_EQ(words, "101 ok");
  const std::uint64_t token = locks->check("job")->token;
  space.tell("kill");
  ASSERT_EQ(space.hear(), "killed");
  space.tell("next");
  ASSERT_EQ(space.hear(), "101 forbidden ok") << "it cannot unlock what the dead one held";
  EXPECT_EQ(outcome(locks->confirm("job", token)), "lost");
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "transferred from anna");
  EXPECT_EQ(outcome(locks->lock({"other", "ben"})), "forbidden");
}

TEST_F(SamePidTest, ThoseOfTwoNamespacesAreTwo) {
  const auto locks = small();
  const auto hold = [&](const char* key) {
    return [this, key] { return outcome(open_locks().release()->lock({key, "anna"}, kBound)); };
  };
  Child one = new_namespace({hold("one")}), two = new_namespace({hold("two")});
  one.tell("next");
  const std::string words = one.hear();
  SKIP_IF_REFUSED(words);
  ASSERT_EQ(words, "101 ok");
  two.tell("next");
  ASSERT_EQ(two.hear(), "101 ok");
  const auto slots = slots_of_them();
  ASSERT_EQ(slots.size(), 2u);
  EXPECT_EQ(life_of(slots[0]).futex() & 0x3fff'ffff, life_of(slots[1]).futex() & 0x3fff'ffff);
  one.tell("kill");
  ASSERT_EQ(one.hear(), "killed");
  EXPECT_EQ(outcome(locks->lock({"one", "ben"})), "transferred from anna");
  EXPECT_EQ(outcome(locks->lock({"two", "ben"})), "forbidden");
  two.tell("kill");
  ASSERT_EQ(two.hear(), "killed");
  EXPECT_EQ(outcome(locks->lock({"two", "ben"})), "transferred from anna");
}

// --- Stops ---

/// A way to stop all of a process at once, until `end` or the end of this object.
class Stop {
 public:
  virtual ~Stop() = default;
  /// Stopped when this returns. Empty, or why it cannot be had.
  virtual std::string begin(const Child&) = 0;
  virtual void end() = 0;
  /// Does one that is stopped so die of SIGKILL? Else only when the stop has ended.
  virtual bool can_die() const { return true; }
};

class StopSignal final : public Stop {
 public:
  std::string begin(const Child& child) override {
    process_ = child.pid();
    child.stop();
    return {};
  }
  void end() override { ::kill(process_, SIGCONT); }

 private:
  pid_t process_ = -1;
};

class TracingStop final : public Stop {
 public:
  ~TracingStop() override { end(); }

  std::string begin(const Child& child) override {
    process_ = child.pid();
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(process_) + "/task")) {
      const pid_t thread = std::stoi(entry.path().filename().string());
      if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) return refusal();
      threads_.push_back(thread);
      ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
      ::waitpid(thread, nullptr, __WALL);
    }
    return {};
  }
  void end() override {
    for (const pid_t thread : threads_) {
      // Of one that was killed the end has to be heard, or its process does not end.
      if (::ptrace(PTRACE_DETACH, thread, nullptr, nullptr) != 0 && thread != process_) {
        ::waitpid(thread, nullptr, __WALL);
      }
    }
    threads_.clear();
  }

 private:
  pid_t process_ = -1;
  std::vector<pid_t> threads_;
};

/// The freezers of control groups. In one of version 1 a process is in an uninterruptible stop.
class Freezer final : public Stop {
 public:
  explicit Freezer(int version) : version_(version), root_(root_of(version)), group_(root_ + "/" + scratch_prefix()) {}
  ~Freezer() override {
    end();
    (void)write_to(root_ + "/cgroup.procs", std::to_string(process_));    // unless it has ended
    ::rmdir(group_.c_str());
  }

  std::string begin(const Child& child) override {
    process_ = child.pid();
    if (root_.empty()) return "refused: no such control groups here";
    if (::mkdir(group_.c_str(), 0700) != 0) return refusal();
    if (!write_to(group_ + "/cgroup.procs", std::to_string(process_))) return refusal();
    set(true);
    const auto is_frozen = [&] {
      return version_ == 1 ? bytes_of(group_ + "/freezer.state") == "FROZEN\n"
                           : bytes_of(group_ + "/cgroup.events").find("frozen 1") != std::string::npos;
    };
    return eventually(is_frozen) ? std::string() : "refused: it does not freeze";
  }
  void end() override { set(false); }
  bool can_die() const override { return version_ == 2; }

 private:
  static std::string root_of(int version) {
    const char* const first = "/sys/fs/cgroup/freezer";
    if (version == 1) return fs::exists(std::string(first) + "/cgroup.procs") ? first : "";
    for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
      if (fs::exists(std::string(root) + "/cgroup.controllers")) return root;
    }
    return {};
  }
  void set(bool frozen) const {
    if (version_ == 1) {
      (void)write_to(group_ + "/freezer.state", frozen ? "FROZEN" : "THAWED");
    } else {
      (void)write_to(group_ + "/cgroup.freeze", frozen ? "1" : "0");
    }
  }

  const int version_;
  const std::string root_, group_;
  pid_t process_ = -1;
};

struct StopKind {
  const char* name;
  std::unique_ptr<Stop> (*make)();
};
void PrintTo(const StopKind& kind, std::ostream* out) { *out << kind.name; }

class StoppedHolderTest : public SurroundingsTest, public ::testing::WithParamInterface<StopKind> {
 protected:
  Child new_holder() const {
    return Child([this](Child::Link& parent) {
      const auto locks = open_locks();
      const auto names = open_names();
      const auto held = names->hold("stack");
      const auto bound = locks->lock({"bound", "anna"}, kBound);
      const auto leased = locks->lock({"leased", "anna"}, {.duration = 20ms});
      parent.say(outcome(bound) + " " + outcome(leased) + " " + outcome(held));
      parent.hear();
      parent.say(outcome(locks->confirm("bound", bound->token)) + " " +
                 outcome(locks->confirm("leased", leased->token)) + " " + outcome(held->status()));
      parent.hear();
    });
  }
};

TEST_P(StoppedHolderTest, KeepsWhatItHoldsAndHoldsNobodyUp) {
  const auto locks = small();
  const auto names = open_names();
  Child holder = new_holder();
  ASSERT_EQ(holder.hear(), "ok ok 0");
  const auto stop = GetParam().make();
  SKIP_IF_REFUSED(stop->begin(holder));

  EXPECT_TRUE(eventually([&] { return outcome(locks->lock({"leased", "ben"})) == "transferred from anna"; }));
  EXPECT_EQ(outcome(locks->lock({"bound", "ben"})), "forbidden");
  EXPECT_EQ(outcome(locks->lock_for({"bound", "ben"}, 20ms)), "timed_out");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
  for (int i = 0; i < 500; ++i) {    // more than there are slots
    const std::string key = "key/" + std::to_string(i);
    ASSERT_EQ(outcome(locks->lock({key, "ben"})), "ok");
    ASSERT_EQ(outcome(locks->unlock({key, "ben"})), "ok");
    ASSERT_EQ(outcome(names->hold("stack")), "1");
  }
  Child newcomer([&](Child::Link& parent) { parent.say(lock_as("carl")); });
  EXPECT_EQ(newcomer.hear(), "ok");

  stop->end();
  holder.tell("go on");
  EXPECT_EQ(holder.hear(), "ok lost ok");
  holder.tell("end");
  EXPECT_EQ(holder.join(), 0);
}

TEST_P(StoppedHolderTest, DiesAsOthersDo) {
  const auto locks = small();
  const auto names = open_names();
  Child holder = new_holder();
  ASSERT_EQ(holder.hear(), "ok ok 0");
  const auto stop = GetParam().make();
  SKIP_IF_REFUSED(stop->begin(holder));

  std::optional<std::string> came_to;
  std::thread waiter([&] { came_to = outcome(locks->lock_for({"bound", "ben"}, kPatience)); });
  ::kill(holder.pid(), SIGKILL);
  if (!stop->can_die()) {
    EXPECT_EQ(outcome(locks->lock_for({"bound", "carl"}, 20ms)), "timed_out")
        << "it is still there, and so is its lock";
    stop->end();
    waiter.join();
  } else {
    waiter.join();
    stop->end();
  }
  EXPECT_EQ(*came_to, "transferred from anna");
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
  EXPECT_EQ(holder.join(), -SIGKILL);
}

INSTANTIATE_TEST_SUITE_P(By, StoppedHolderTest,
                         ::testing::Values(StopKind{"Signal", [] { return std::unique_ptr<Stop>(new StopSignal); }},
                                           StopKind{"Tracer", [] { return std::unique_ptr<Stop>(new TracingStop); }},
                                           StopKind{"Freezer1", [] { return std::unique_ptr<Stop>(new Freezer(1)); }},
                                           StopKind{"Freezer2", [] { return std::unique_ptr<Stop>(new Freezer(2)); }}),
                         [](const auto& each) { return each.param.name; });

// The parent of a vfork sleeps in the kernel, deaf to all signals but one, and its child has its memory.
TEST_F(SurroundingsTest, AHolderThatWaitsForItsVforkedChild) {
  const auto locks = small();
  int go_on[2];
  ASSERT_EQ(::pipe2(go_on, O_CLOEXEC), 0);
  Child holder([&](Child::Link& parent) {
    ::close(go_on[1]);
    const auto mine = open_locks();
    const auto names = open_names("auto_release_after=2s");
    const auto held = names->hold("stack");
    parent.say(outcome(mine->lock({"job", "anna"}, kBound)) + " " + outcome(held));
    char nothing = 0;
    if (::vfork() == 0) ::_exit(::read(go_on[0], &nothing, 1) == 0 ? 0 : 1);
    parent.say("no child any more");
  });
  ::close(go_on[0]);
  ASSERT_EQ(holder.hear(), "ok 0");
  const std::string stat = "/proc/" + std::to_string(holder.pid()) + "/stat";
  ASSERT_TRUE(eventually([&] { return bytes_of(stat).find(") D ") != std::string::npos; }));
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "forbidden");
  EXPECT_EQ(outcome(locks->lock({"other", "ben"})), "ok");
  const auto kept_at = [&] { return snapshot().names.at(0).updated_at; };
  const auto first = kept_at();
  EXPECT_TRUE(eventually([&] { return kept_at() > first + 2s; })) << "the keeper is not stopped";
  const auto names = open_names("auto_release_after=2s");
  EXPECT_EQ(outcome(names->hold("stack")), "1");
  holder.kill();
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "transferred from anna") << "its memory lives on, in the child";
  EXPECT_EQ(outcome(names->hold("stack")), "0");
  ::close(go_on[1]);
}

// --- Clocks ---

class ClockTest : public SurroundingsTest {
 protected:
  /// A process in a time namespace of its own, whose `clock` is a day ahead.
  static Child a_day_ahead(const std::string& clock, const std::function<void(Child::Link&)>& act) {
    return Child([=](Child::Link& parent) {
      if (::unshare(CLONE_NEWTIME) != 0) return parent.say(refusal());
      if (!write_to("/proc/self/timens_offsets", clock + " 86400 0")) return parent.say(refusal());
      in_a_child([&] { act(parent); });
    });
  }

  std::string opened() const {
    const auto locks = try_locks();
    return outcome(locks) + (locks ? "" : " " + locks.error().detail);
  }
};

TEST_F(ClockTest, AnotherMonotonicClockIsRefused) {
  const auto locks = small();
  const std::string before = bytes_of(segment_.path());
  Child child = a_day_ahead("monotonic", [&](Child::Link& parent) {
    parent.say(opened());
    parent.say(outcome(open_name_manager(segment_.url())));
    parent.say(outcome(open_inspector(segment_.name()).error().code));
    parent.say(outcome(locks->lock({"job", "anna"})));    // a service that was opened before the fork
  });
  const std::string words = child.hear();
  SKIP_IF_REFUSED(words);
  EXPECT_TRUE(words.starts_with("incompatible_segment") && words.find("time namespace") != std::string::npos) << words;
  EXPECT_EQ(child.hear(), "incompatible_segment");
  EXPECT_EQ(child.hear(), "incompatible_segment");
  EXPECT_EQ(child.hear(), "incompatible_segment");
  EXPECT_TRUE(bytes_of(segment_.path()) == before);
  EXPECT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
}

TEST_F(ClockTest, ThoseWithTheSameClockShareASegment) {
  do_not_audit();    // from here it is refused
  const auto hold = [&](const char* signee) {
    return [this, signee](Child::Link& parent) {
      const auto mine = open_locks("slots=64&sessions=8");
      parent.say(outcome(mine->lock({"job", signee}, {.duration = 1h, .lifetime = Lifetime::process})));
      parent.hear();
    };
  };
  Child one = a_day_ahead("monotonic", hold("anna"));
  const std::string words = one.hear();
  SKIP_IF_REFUSED(words);
  EXPECT_EQ(words, "ok");
  Child two = a_day_ahead("monotonic", hold("ben"));    // another namespace, the same clock
  EXPECT_EQ(two.hear(), "forbidden");
  EXPECT_EQ(outcome(try_locks()), "incompatible_segment");
}

// After a suspension the clock that counts it is ahead of the monotonic one. Leases do not count it.
TEST_F(ClockTest, ASuspendedHostEndsNoLease) {
  const auto locks = small();
  const LockOptions for_an_hour{.duration = 1h};
  ASSERT_EQ(outcome(locks->lock({"ours", "anna"}, for_an_hour)), "ok");
  Child child = a_day_ahead("boottime", [&](Child::Link& parent) {
    const auto mine = open_locks();
    parent.say(outcome(mine->lock({"ours", "ben"})));
    parent.say(outcome(mine->lock({"theirs", "ben"}, for_an_hour)));
  });
  const std::string words = child.hear();
  SKIP_IF_REFUSED(words);
  EXPECT_EQ(words, "forbidden");
  EXPECT_EQ(child.hear(), "ok");
  EXPECT_LT(*locks->check("theirs")->expires_in, 61min);
  EXPECT_GT(*locks->check("theirs")->expires_in, 30min);
}

TEST_F(ClockTest, AProcessThatHasLeftItsTimeNamespaceIsRefused) {
  Child child([&](Child::Link& parent) {
    if (::unshare(CLONE_NEWTIME) != 0) return parent.say(refusal());
    parent.say(opened());
    parent.say(fs::exists(segment_.path()) ? "made" : "not made");
  });
  const std::string words = child.hear();
  SKIP_IF_REFUSED(words);
  EXPECT_TRUE(words.starts_with("backend_unavailable") && words.find("time namespace") != std::string::npos) << words;
  EXPECT_EQ(child.hear(), "not made");
}

// --- Mounts ---

/// A process with mounts of its own. `mounts` makes them and says whether it could.
Child with_mounts(const std::function<bool()>& mounts, const std::function<void(Child::Link&)>& act) {
  return Child([=](Child::Link& parent) {
    const bool done =
        ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 && mounts();
    parent.say(done ? "mounted" : refusal());
    if (done) act(parent);
  });
}

/// Folders to mount on. To be removed when nobody has mounts there: that would undo them.
class EmptyRoot {
 public:
  EmptyRoot() {
    fs::create_directories(at("dev/shm"));
    fs::create_directory(at("proc"));
  }
  ~EmptyRoot() {
    std::error_code ignored;
    for (const char* folder : {"dev/shm", "dev", "proc", ""}) fs::remove(at(folder), ignored);
  }
  EmptyRoot(const EmptyRoot&) = delete;
  EmptyRoot& operator=(const EmptyRoot&) = delete;

  std::string at(const std::string& folder) const { return path_ + "/" + folder; }

 private:
  const std::string path_ = fs::temp_directory_path() / (scratch_prefix() + "root");
};

TEST_F(SurroundingsTest, TheSameMountInAnotherRoot) {
  const auto locks = small();
  ASSERT_EQ(outcome(locks->lock({"outside", "anna"}, kBound)), "ok");
  const EmptyRoot root;
  Child inside = with_mounts(
      [&] {
        return ::mount("/dev/shm", root.at("dev/shm").c_str(), nullptr, MS_BIND, nullptr) == 0 &&
               ::mount("/proc", root.at("proc").c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
               ::chroot(root.at("").c_str()) == 0 && ::chdir("/") == 0;
      },
      [&](Child::Link& parent) {
        const auto mine = open_locks("create=false");
        parent.say(outcome(mine->lock({"outside", "ben"})) + " " + outcome(mine->lock({"inside", "ben"}, kBound)));
        parent.hear();
      });
  const std::string words = inside.hear();
  SKIP_IF_REFUSED(words);
  EXPECT_EQ(inside.hear(), "forbidden ok");
  EXPECT_EQ(outcome(locks->lock({"inside", "anna"})), "forbidden");
  inside.kill();
  EXPECT_EQ(outcome(locks->lock({"inside", "anna"})), "transferred from ben");
}

TEST_F(SurroundingsTest, AnotherMountHasSegmentsOfItsOwn) {
  const auto locks = small();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, kBound)), "ok");
  Child inside = with_mounts([] { return ::mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=4m") == 0; },
                             [&](Child::Link& parent) {
                               parent.say(outcome(try_locks("create=false")));
                               parent.say(outcome(open_locks("slots=64&sessions=8")->lock({"job", "ben"}, kBound)));
                               parent.say(outcome(locks->lock({"job", "ben"}, kBound)));    // the outer one's
                             });
  const std::string words = inside.hear();
  SKIP_IF_REFUSED(words);
  EXPECT_EQ(inside.hear(), "no_segment");
  EXPECT_EQ(inside.hear(), "ok");
  EXPECT_EQ(inside.hear(), "forbidden");
}

TEST_F(SurroundingsTest, WithoutProcThereAreSegmentsToo) {
  Child inside = with_mounts(
      [] {
        return ::mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=4m") == 0 &&
               ::mount("tmpfs", "/proc", "tmpfs", 0, "size=4k") == 0;
      },
      [&](Child::Link& parent) {
        const auto locks = open_locks("slots=64&sessions=8");
        parent.say(outcome(locks->lock({"job", "anna"}, kBound)));
        Child other([&](Child::Link& first) {
          parent.say(lock_as("ben"));
          first.say(outcome(open_locks().release()->lock({"others", "ben"}, kBound)));
          first.hear();
        });
        parent.say(other.hear());
        other.kill();
        parent.say(outcome(locks->lock({"others", "anna"})));
      });
  const std::string words = inside.hear();
  SKIP_IF_REFUSED(words);
  EXPECT_EQ(inside.hear(), "ok");
  EXPECT_EQ(inside.hear(), "forbidden");
  EXPECT_EQ(inside.hear(), "ok");
  EXPECT_EQ(inside.hear(), "transferred from ben");
}

TEST_F(SurroundingsTest, SharedMemoryOfAFewPages) {
  Child inside = with_mounts([] { return ::mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=16k") == 0; },
                             [&](Child::Link& parent) {
                               const auto refused = try_locks("slots=1&sessions=1&max_signature=1&max_signee=1");
                               parent.say(outcome(refused) + (refused ? "" : " " + refused.error().detail));
                               parent.say(fs::is_empty("/dev/shm") ? "empty" : "something is left");
                             });
  const std::string words = inside.hear();
  SKIP_IF_REFUSED(words);
  const std::string came_to = inside.hear();
  EXPECT_TRUE(came_to.starts_with("backend_unavailable needs ")) << came_to;
  EXPECT_EQ(inside.hear(), "empty");
}

// --- Users ---

TEST_F(SurroundingsTest, AnotherUserNamespace) {
  const auto locks = small();
  const auto names = open_names();
  Child inside([&](Child::Link& parent) {
    if (::unshare(CLONE_NEWUSER) != 0) return parent.say(refusal());
    auto* mine = open_locks().release();
    auto* held = new Result<HeldName>(open_names()->hold("stack"));
    parent.say(outcome(mine->lock({"job", "anna"}, kBound)) + " " + outcome(*held));
    parent.hear();
  });
  const std::string words = inside.hear();
  SKIP_IF_REFUSED(words);
  EXPECT_EQ(words, "ok 0");
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "forbidden");
  inside.kill();
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "transferred from anna");
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
}

// --- Other images ---

TEST_F(SurroundingsTest, AThreadThatReplacesTheImageEndsAllOthers) {
  if (kThreadSanitizer) GTEST_SKIP() << "it does not let a forked child start threads";
  const auto locks = small();
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    parent.say(outcome(mine->lock({"job", "anna"}, kBound)));
    std::thread replacing([&] {
      parent.hear();
      ::execl("/bin/sleep", "sleep", "1000", nullptr);
      parent.say("no exec");
    });
    for (;;) {    // while the main thread is at it
      (void)mine->lock({"busy", "anna"}, kBound);
      (void)mine->unlock({"busy", "anna"});
    }
  });
  ASSERT_EQ(child.hear(), "ok");
  child.tell("exec");
  ASSERT_EQ(child.hear(), "(gone)");
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "transferred from anna");
  const std::string busy = outcome(locks->lock({"busy", "ben"}));
  EXPECT_TRUE(busy == "ok" || busy == "transferred from anna") << busy;
}

TEST_F(SurroundingsTest, SpawnedProgramsHoldNothing) {
  const auto locks = small();
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    parent.say(outcome(mine->lock({"job", "anna"}, kBound)));
    pid_t spawned = -1;
    std::string program = "sleep", seconds = "1000";
    char* arguments[] = {program.data(), seconds.data(), nullptr};
    const int error = ::posix_spawn(&spawned, "/bin/sleep", nullptr, nullptr, arguments, environ);
    parent.say(error == 0 ? std::to_string(spawned) : std::strerror(error));
    parent.say(outcome(mine->lock({"job", "anna"}, kBound)));
    parent.hear();
  });
  ASSERT_EQ(child.hear(), "ok");
  const pid_t spawned = std::stoi(child.hear());
  EXPECT_EQ(child.hear(), "renewed");
  child.kill();
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "transferred from anna");
  EXPECT_EQ(::kill(spawned, SIGKILL), 0) << "the program lives on";
}

// --- A newer library ---

TEST_F(SurroundingsTest, ASegmentOfALaterLayoutIsLeftAlone) {
  do_not_audit();
  (void)small();
  const std::string whole = bytes_of(segment_.path());
  const auto with = [&](std::size_t offset, auto number) {
    std::string bytes = whole;
    bytes.replace(offsetof(table::Header, layout_version), 4, std::string{table::kLayoutVersion + 1, 0, 0, 0});
    return bytes.replace(offset, sizeof number, reinterpret_cast<const char*>(&number), sizeof number);
  };
  // All but the magic and the version may mean something else there, the word that says "ready" as well.
  for (const std::string& later :
       {with(offsetof(table::Header, ready), std::uint64_t{0}), with(offsetof(table::Header, ready), ~std::uint64_t{0}),
        with(offsetof(table::Header, geometry), std::uint32_t{0}),
        with(offsetof(table::Header, bytes), std::uint64_t{0}),
        with(offsetof(table::Header, fingerprint), std::uint64_t{4711}),
        with(offsetof(table::Header, ready), std::uint64_t{0}).substr(0, 128)}) {
    std::ofstream(segment_.path(), std::ios::binary | std::ios::trunc) << later;
    const auto refused = try_locks();
    ASSERT_EQ(outcome(refused), "incompatible_segment");
    EXPECT_NE(refused.error().detail.find("layout version 2"), std::string::npos) << refused.error().detail;
    EXPECT_EQ(outcome(open_name_manager(segment_.url("create=false"))), "incompatible_segment");
    EXPECT_EQ(outcome(open_inspector(segment_.name()).error().code), "incompatible_segment");
    EXPECT_TRUE(bytes_of(segment_.path()) == later);
  }
}

}    // namespace
}    // namespace keyrack::tests
