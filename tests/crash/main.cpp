// The sweeps as a command: what to sweep, by how many workers, and the report.
#include "report.hpp"
#include "sweeps.hpp"
#include "watchdog.hpp"

#include "scratch_segment.hpp"
#include "shared_object.hpp"

#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <numeric>
#include <random>

namespace keyrack::crash {

namespace {

using std::chrono::steady_clock;

struct Wishes {
  std::vector<std::string> kinds;
  std::string scenario;
  unsigned jobs = 1;
  double seconds = 0;    // of a sample; 0: all
  std::uint64_t seed = 0;
  bool every = false;    // rescuer: every instruction
  bool list = false, addresses = false, markdown = false, canary = false;
  std::optional<std::uint32_t> at;
};

/// One thing for a worker to do.
struct Item {
  Kind kind;
  std::uint32_t scenario;
  Point point;
};

double seconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

/// What the workers share.
struct Work {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> enough{false};
  std::array<std::array<Tally, 128>, kKinds.size()> tallies{};
};

class Sweep {
 public:
  explicit Sweep(const Wishes& wishes) : wishes_(wishes) {
    for (unsigned i = 0; i < wishes_.jobs; ++i) {
      casts_.push_back(std::make_unique<Cast>(tests::scratch_prefix() + std::to_string(i) + "-"));
    }
  }

  int run() {
    trace_all();
    if (wishes_.addresses) return 0;
    if (items_.empty()) give_up("there is nothing to sweep");
    const auto begin = steady_clock::now();
    run_workers();
    write_report(seconds_since(begin));
    if (failed_) return 2;
    const bool found = !violations_.empty();
    return found == wishes_.canary ? 0 : 1;
  }

 private:
  Tally& tally(Kind kind, std::size_t scenario) {
    return work_->tallies.at(static_cast<std::size_t>(kind)).at(scenario);
  }

  bool wants(Kind kind) const {
    const std::string name = kKinds.at(static_cast<std::size_t>(kind));
    return std::find(wishes_.kinds.begin(), wishes_.kinds.end(), name) != wishes_.kinds.end();
  }

  /// One run of each scenario, which all others are held against; what there is to do follows from it.
  void trace_all() {
    const Anchor anchor(*casts_.front());
    pin(*casts_.front(), 0);
    paths_.resize(scenarios().size());
    std::vector<std::uint32_t> order(scenarios().size());
    std::iota(order.begin(), order.end(), 0);
    if (wishes_.seconds > 0) {
      std::mt19937_64 random(wishes_.seed);
      std::shuffle(order.begin(), order.end(), random);
    }
    const auto begin = steady_clock::now();
    for (const std::uint32_t i : order) {
      const Scenario& scenario = scenarios()[i];
      if (scenario.name.find(wishes_.scenario) == std::string::npos) continue;
      // A sample is of as many scenarios as a third of its time allows.
      if (wishes_.seconds > 0 && !items_.empty() && seconds_since(begin) > wishes_.seconds / 3) break;
      paths_[i] = trace(*casts_.front(), i, wants(Kind::rescuer));
      if (wishes_.addresses) print_addresses(paths_[i]);
      add_items(i, scenario, paths_[i]);
    }
    if (wishes_.seconds > 0) draw_lots();
  }

  /// At random, but of each kind and scenario one after the other, however many there are of it.
  void draw_lots() {
    std::mt19937_64 random(wishes_.seed);
    std::shuffle(items_.begin(), items_.end(), random);
    std::map<std::pair<Kind, std::uint32_t>, std::size_t> drawn;
    std::vector<std::pair<std::size_t, Item>> rounds;
    for (const Item& item : items_) rounds.emplace_back(drawn[{item.kind, item.scenario}]++, item);
    std::stable_sort(rounds.begin(), rounds.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::transform(rounds.begin(), rounds.end(), items_.begin(), [](const auto& round) { return round.second; });
  }

  /// Calls that open are long; and while one formats an unfinished object, others wait for a second.
  static std::size_t stride_of_stops(const Scenario& scenario) {
    if (scenario.unfinished) return 64;
    return scenario.opens && scenario.entry == Entry::call ? 8 : 1;
  }

  static void print_addresses(const Path& path) {
    for (std::size_t i = 0; i < path.addresses.size(); ++i)
      fmt::print("{} {:#x}\n", i, file_address(path.addresses[i]));
  }

  void add_items(std::uint32_t index, const Scenario& scenario, const Path& path) {
    std::vector<Point> points = path.points();
    if (wishes_.at) points = {Point{*wishes_.at, false}};
    for (const Kind kind : {Kind::death, Kind::stop, Kind::overtaken}) {
      if (!wants(kind)) continue;
      const std::size_t stride = kind == Kind::death || wishes_.at ? 1 : stride_of_stops(scenario);
      std::uint32_t count = 0;
      for (std::size_t i = 0; i < points.size(); i += stride, ++count) items_.push_back({kind, index, points[i]});
      tally(kind, index).instructions += static_cast<std::uint32_t>(path.addresses.size());
      tally(kind, index).points += count;
    }
    if (!wants(Kind::rescuer) || scenario.creates) return;
    // Between two changes of the segment, all deaths leave the same.
    points = {Point{}};
    for (const std::uint32_t changed : path.changed) points.push_back({changed + 1, false});
    if (wishes_.at) points = {Point{*wishes_.at, false}};
    for (const Point point : points) items_.push_back({Kind::rescuer, index, point});
    tally(Kind::rescuer, index).wrecks += static_cast<std::uint32_t>(points.size());
  }

  void run_workers() {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) give_up("no pipe");
    std::vector<pid_t> workers;
    for (unsigned i = 0; i < wishes_.jobs; ++i) {
      const pid_t worker = ::fork();
      if (worker < 0) give_up("no worker");
      if (worker == 0) {
        ::close(pipe[0]);
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        work(*casts_[i], i, pipe[1]);
      }
      workers.push_back(worker);
    }
    ::close(pipe[1]);
    listen(pipe[0]);
    ::close(pipe[0]);
    for (const pid_t worker : workers) {
      int status = 0;
      ::waitpid(worker, &status, 0);
      if (status != 0) failed_ = true;
    }
    if (failed_)
      fmt::print("a worker has ended early: what it was doing is a violation, and the sweep is not complete\n");
  }

  /// Violations, one a line, until all workers have ended.
  void listen(int fd) {
    Progress progress(items_.size());
    const auto begin = steady_clock::now();
    std::string text;
    for (;;) {
      pollfd ready{fd, POLLIN, 0};
      const int got = ::poll(&ready, 1, 200);
      progress.show(std::min(work_->next.load(), items_.size()), violations_.size());
      if (wishes_.seconds > 0 && seconds_since(begin) > wishes_.seconds) work_->enough = true;
      if (got < 1) continue;
      char bytes[4096];
      const ssize_t count = ::read(fd, bytes, sizeof bytes);
      if (count <= 0) break;
      text.append(bytes, static_cast<std::size_t>(count));
      for (std::size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
        violations_.push_back(text.substr(0, end));
        if (wishes_.canary) work_->enough = true;
      }
    }
  }

  [[noreturn]] void work(Cast& cast, unsigned number, int fd) {
    pin(cast, number);
    int status = 0;
    try {
      const Anchor anchor(cast);
      for (std::size_t i = 0; !work_->enough && (i = work_->next.fetch_add(1)) < items_.size();) {
        const std::string words = describe(items_[i]) + "does not come to rest\n";
        set_last_words(fd, words.c_str());
        do_item(cast, items_[i], i, fd);
      }
    } catch (const std::exception& error) {
      say(fd, error.what());
      status = 2;
    }
    ::_exit(status);
  }

  void do_item(Cast& cast, const Item& item, std::size_t number, int fd) {
    const Path& path = paths_.at(item.scenario);
    switch (item.kind) {
      case Kind::death:
        return count(item, die_at(cast, item.scenario, path, item.point), fd, "");
      case Kind::stop:
        return count(item, stop_at(cast, item.scenario, path, item.point, Then::continues), fd, "");
      case Kind::overtaken:
        return count(item, stop_at(cast, item.scenario, path, item.point, Then::dies), fd, "");
      case Kind::rescuer:
        return rescue(cast, item, number, fd);
    }
  }

  static constexpr std::size_t kDrawn = 16;    // of each rescue, in a sample

  void rescue(Cast& cast, const Item& item, std::size_t number, int fd) {
    const Wreck wreck = wreck_of(cast, item.scenario, paths_.at(item.scenario), item.point);
    std::mt19937_64 random(wishes_.seed + number);
    for (std::size_t rescue = 0; rescue < rescues().size(); ++rescue) {
      const Path path = trace_rescue(cast, wreck, rescue);
      std::vector<Point> points = path.points();
      tally(item.kind, item.scenario).instructions += static_cast<std::uint32_t>(path.addresses.size());
      if (wishes_.seconds > 0) {
        std::shuffle(points.begin(), points.end(), random);
        points.resize(std::min(points.size(), kDrawn));
      } else if (!wishes_.every) {
        points = {Point{}};
        for (const std::uint32_t changed : path.changed) points.push_back({changed + 1, false});
      }
      tally(item.kind, item.scenario).points += static_cast<std::uint32_t>(points.size());
      const std::string words = describe(item) + rescues()[rescue].name + ": does not come to rest\n";
      set_last_words(fd, words.c_str());
      for (const Point point : points) {
        count(item, rescuer_dies_at(cast, wreck, rescue, path, point), fd, describe(item));
        if (work_->enough) return;
      }
    }
  }

  void count(const Item& item, const Verdict& verdict, int fd, const std::string& before) {
    Tally& counts = tally(item.kind, item.scenario);
    ++counts.runs;
    if (verdict.diverged) ++counts.diverged;
    if (!verdict.violations.empty()) ++counts.violations;
    for (const std::string& violation : verdict.violations) {
      say(fd, kKinds.at(static_cast<std::size_t>(item.kind)) + std::string(": ") + before + violation);
    }
  }

  static std::string describe(const Item& item) {
    return scenarios()[item.scenario].name + " @" + std::to_string(item.point.index) +
           (item.point.asleep ? " asleep" : "") + ": ";
  }

  static void say(int fd, const std::string& what) {
    const std::string line = what.substr(0, 1000) + "\n";    // in one piece
    (void)!::write(fd, line.data(), line.size());
  }

  /// Tracer and traced take turns: on one processor they do so fastest.
  static void pin(const Cast& cast, unsigned number) {
    const auto processors = static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(number % processors, &one);
    ::sched_setaffinity(0, sizeof one, &one);
    ::sched_setaffinity(cast.nursery(), sizeof one, &one);
  }

  /// A segment that a worker stays attached to, so that its keeper lives from one run to the next.
  struct Anchor {
    explicit Anchor(Cast& cast) : actor(cast.next_segment(), "slots=1&sessions=1", cast.board().notes) {
      actor.open_locks();
      (void)remove_segment(actor.segment());
    }
    Actor actor;
  };

  void write_report(double seconds) {
    for (const Kind kind : {Kind::death, Kind::stop, Kind::overtaken, Kind::rescuer}) {
      if (!wants(kind)) continue;
      Table table(kind, wishes_.markdown);
      for (std::size_t i = 0; i < scenarios().size(); ++i) {
        if (!paths_[i].addresses.empty()) table.add(scenarios()[i].name, tally(kind, i));
      }
      table.finish();
    }
    constexpr std::size_t kMost = 40;
    for (std::size_t i = 0; i < std::min(violations_.size(), kMost); ++i) fmt::print("{}\n", violations_[i]);
    if (violations_.size() > kMost) fmt::print("… and {} more\n", violations_.size() - kMost);
    fmt::print("{} violations in {:.1f} s\n", violations_.size(), seconds);
    if (wishes_.seconds > 0) fmt::print("--seed {} draws the same sample\n", wishes_.seed);
  }

  const Wishes& wishes_;
  tests::SharedObject<Work> work_;
  std::vector<std::unique_ptr<Cast>> casts_;
  std::vector<Path> paths_;
  std::vector<Item> items_;
  std::vector<std::string> violations_;
  bool failed_ = false;
};

/// The same addresses in every run of this program, so that places in calls mean the same.
void fix_addresses(char** arguments) {
  const int now = ::personality(0xffffffff);
  if (now < 0 || (now & ADDR_NO_RANDOMIZE) != 0) return;
  if (::personality(static_cast<unsigned long>(now) | ADDR_NO_RANDOMIZE) < 0) return;
  ::execv("/proc/self/exe", arguments);
}

int main(int count, char** arguments) {
  fix_addresses(arguments);
  Wishes wishes;
  wishes.seed = std::random_device{}();
  CLI::App app("Kills and stops processes at every instruction of their calls, and audits what is left.");
  app.add_option("--kind", wishes.kinds, "death, stop, overtaken (stopped, then killed), rescuer; all if not given")
      ->check(CLI::IsMember(std::vector<std::string>(kKinds.begin(), kKinds.end())));
  app.add_option("--scenario", wishes.scenario, "only those whose name contains this");
  app.add_option("--jobs", wishes.jobs, "workers")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--seconds", wishes.seconds, "a random sample for so long, not all");
  app.add_option("--seed", wishes.seed, "of the sample");
  app.add_option("--at", wishes.at, "only at that instruction of the victim");
  app.add_flag("--every", wishes.every, "rescuer: every instruction, not only those that change the segment");
  app.add_flag("--markdown", wishes.markdown, "the report as markdown");
  app.add_flag("--canary", wishes.canary, "succeeds as soon as a violation is found, fails if there is none");
  app.add_flag("--addresses", wishes.addresses, "only prints the instructions' addresses, as addr2line takes them");
  app.add_flag("--list", wishes.list, "names the scenarios");
  CLI11_PARSE(app, count, arguments);
  if (wishes.list) {
    for (const Scenario& scenario : scenarios()) fmt::print("{}\n", scenario.name);
    return 0;
  }
  if (wishes.kinds.empty()) wishes.kinds.assign(kKinds.begin(), kKinds.end());

  tests::Janitor::hire();
  keep_breakpoints_ready();
  sigset_t child;    // waited for; see tracee.cpp
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, nullptr);
  try {
    return Sweep(wishes).run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}

}    // namespace

}    // namespace keyrack::crash

int main(int count, char** arguments) { return keyrack::crash::main(count, arguments); }
