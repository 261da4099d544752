#include "sweep.hpp"

#include "calls.hpp"
#include "segment_fixture.hpp"
#include "shared_object.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>

namespace keyrack::tests {

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kHang{20};
constexpr std::size_t kAnswers = 32;

/// What a worker tells while it lives, in memory that it shares with its supervisor.
struct Report {
  std::atomic<std::size_t> done;       // places in the plan
  std::atomic<std::uint64_t> calls;    // in all; stands still when a call hangs
  std::atomic<const char*> call;       // the one being made; a literal, so good in both processes
  std::array<char, 512> damage;        // of the place being tried
  std::array<char, 256> unlawful;      // an answer that may not be
  std::array<std::atomic<std::uint64_t>, kAnswers> answers;    // by Errc
};

void put(std::array<char, 512>& place, const std::string& text) {
  text.copy(place.data(), place.size() - 1);
  place[std::min(text.size(), place.size() - 1)] = '\0';
}

class Reporter final : public CallObserver {
 public:
  explicit Reporter(Report& report) : report_(report) {}
  void begins(const char* call) override { report_.call = call; }
  void ends(const char* call, std::error_code answer) override {
    report_.calls.fetch_add(1);
    if (!is_lawful_answer(answer)) {
      std::snprintf(report_.unlawful.data(), report_.unlawful.size(), "%s answers %s", call, answer.message().c_str());
      std::raise(SIGABRT);
    }
    ++report_.answers[static_cast<std::size_t>(answer.value()) % kAnswers];
  }

 private:
  Report& report_;
};

/// The object that is damaged, and the way to its bytes past the library.
class Victim {
 public:
  Victim(const ScratchSegment& segment, const Image& image) : image_(image) {
    const int fd = ::open(segment.path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(image.bytes.size())) != 0) {
      throw std::system_error(errno, std::generic_category(), segment.path());
    }
    void* memory = ::mmap(nullptr, image.bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    bytes_ = static_cast<std::byte*>(memory);
  }
  ~Victim() { ::munmap(bytes_, image_.bytes.size()); }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;

  void restore() { std::memcpy(bytes_, image_.bytes.data(), image_.bytes.size()); }
  std::byte* bytes() { return bytes_; }

 private:
  const Image& image_;
  std::byte* bytes_;
};

/// Damages on and on, from another thread, until it is told that the calls are made.
class Storm {
 public:
  Storm(const Damage& damage, std::byte* bytes, std::uint64_t number)
      : thread_([this, &damage, bytes, number] {
          for (std::uint64_t gust = 0; gust < 64 && !calm_; ++gust) {
            (void)damage(bytes, number * 64 + gust);
            std::this_thread::yield();
          }
        }) {}
  ~Storm() {
    calm_ = true;
    thread_.join();
  }
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;

 private:
  std::atomic<bool> calm_{false};
  std::thread thread_;
};

void work(const Image& image, const Plan& plan, const ScratchSegment& segment, Report& report) {
  ::prctl(PR_SET_TIMERSLACK, 1);
  // Keeps the keeper thread running, so that it is not started anew for each damage.
  const ScratchSegment anchor;
  const auto anchored = open_lock_service(anchor.url("slots=1&sessions=1")).value();
  (void)remove_segment(anchor.name());

  Victim victim(segment, image);
  Reporter reporter(report);
  Calls calls(image, segment.name(), reporter);
  for (std::size_t place = report.done; place < plan.numbers.size(); report.done = ++place) {
    const std::uint64_t number = plan.numbers[place];
    victim.restore();
    const auto damage = [&] { put(report.damage, plan.damage(victim.bytes(), number)); };
    switch (plan.how) {
      case How::newcomer:
        damage();
        calls.make({});
        break;
      case How::attached:
        calls.make(damage);
        break;
      case How::storm: {
        put(report.damage, "many");
        std::optional<Storm> storm;
        calls.make([&] { storm.emplace(plan.damage, victim.bytes(), number); });
        break;
      }
    }
  }
}

std::string end_of(pid_t worker, Report& report, const std::function<void()>& tick) {
  std::uint64_t calls = 0;
  auto moved = steady_clock::now();
  for (;;) {
    int status = 0;
    if (::waitpid(worker, &status, WNOHANG) == worker) {
      if (WIFEXITED(status)) return WEXITSTATUS(status) == 0 ? "" : "ends with status " + std::to_string(status >> 8);
      if (report.unlawful[0] != '\0') return report.unlawful.data();
      return std::string("dies of ") + ::strsignal(WTERMSIG(status));
    }
    const auto now = steady_clock::now();
    if (const std::uint64_t made = report.calls; made != calls) {
      calls = made;
      moved = now;
    } else if (now - moved > kHang) {
      ::kill(worker, SIGKILL);
      ::waitpid(worker, &status, 0);
      return "hangs";
    }
    tick();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}    // namespace

Outcome sweep(const Image& image, const Plan& plan) {
  const ScratchSegment segment;
  const SharedObject<Report> report;
  Outcome outcome;
  while (report->done < plan.numbers.size() && outcome.faults.size() < plan.faults_max) {
    report->unlawful[0] = '\0';
    std::fflush(nullptr);
    const pid_t parent = ::getpid(), worker = ::fork();
    if (worker < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (worker == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      work(image, plan, segment, *report);
      ::_exit(0);
    }
    const std::string end = end_of(worker, *report, [&] {
      if (plan.progress) plan.progress(report->done, plan.numbers.size());
    });
    if (end.empty()) break;
    const std::size_t place = report->done;
    outcome.faults.push_back(
        {plan.numbers[place], report->damage.data(), report->call.load() == nullptr ? "" : report->call.load(), end});
    report->done = place + 1;
  }
  outcome.done = report->done;
  outcome.calls = report->calls;
  for (std::size_t value = 0; value < kAnswers; ++value) {
    const std::uint64_t count = report->answers[value];
    if (count > 0) outcome.answers[testing::outcome(make_error_code(static_cast<Errc>(value)))] = count;
  }
  return outcome;
}

}    // namespace keyrack::tests
