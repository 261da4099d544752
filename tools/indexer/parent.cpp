#include "parent.hpp"

#include "corpus.hpp"
#include "crew.hpp"
#include "results.hpp"
#include "screen.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <keyrack/keyrack.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <system_error>

namespace indexer {
namespace {

namespace fs = std::filesystem;

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t signal_that_came = 0;

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int number) { signal_that_came = number; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  action.sa_handler = SIG_IGN;    // whoever reads our output may go; we still have to clean up
  sigaction(SIGPIPE, &action, nullptr);
}

void heed_signals() {
  if (signal_that_came != 0) throw Interrupted(signal_that_came);
}

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "keyrack-indexer.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::system_category(), "cannot make " + name);
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// The segment of this run; nobody else's, for it takes a lock there, and removed in the end.
class Segment {
 public:
  explicit Segment(const std::string& name) : name_(name) {
    // Room for far fewer keys than there are files: records that nobody holds make room for new ones.
    auto opened = keyrack::open_lock_service("shm://" + name + "?slots=1024&sessions=64");
    if (!opened) throw std::runtime_error("cannot open the segment " + name + ": " + opened.error().message());
    locks_ = std::move(*opened);
    const auto grant = locks_->lock({.signature = "indexer", .signee = fmt::format("parent (pid {})", getpid())},
                                    {.lifetime = keyrack::Lifetime::process});
    if (!grant) throw std::runtime_error("another indexer uses the segment " + name + ": " + grant.error().message());
  }
  ~Segment() {
    locks_.reset();
    (void)keyrack::remove_segment(name_);
  }
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  const std::string& name() const { return name_; }
  keyrack::LockService& locks() { return *locks_; }

 private:
  const std::string name_;
  std::unique_ptr<keyrack::LockService> locks_;
};

std::unique_ptr<keyrack::Inspector> inspect(const std::string& segment) {
  return keyrack::open_inspector(segment).value();
}

class Run {
 public:
  Run(const ParentOptions& options, Corpus corpus, unsigned seed, Screen& screen)
      : options_(options),
        corpus_(std::move(corpus)),
        screen_(screen),
        random_(seed),
        segment_(segment_name(options)),
        crew_(prepare()) {
    for (std::size_t i = 0; i < corpus_.files.size(); ++i) index_of_[file_key(corpus_.files[i].path)] = i;
  }

  bool run() {
    plan_kills();
    const auto started = Clock::now();
    for (std::size_t i = 0; i < options_.workers; ++i) crew_.hire();
    while (!all_finished()) {
      heed_signals();
      hear();
      replace_the_dead();
      kill_when_due();
      screen_.progress(results_->files_done(), corpus_.files.size(),
                       fmt::format("files done, {} killed, {} taken over", killed_, taken_over_));
    }
    const std::chrono::duration<double> took = Clock::now() - started;
    screen_.clear_bar();
    settle();
    show_dump();
    for (const Departure& one : crew_.dismiss()) expect_success(one);
    return prove(took.count());
  }

 private:
  static std::string segment_name(const ParentOptions& options) {
    return options.segment.empty() ? fmt::format("indexer-{}", getpid()) : options.segment;
  }

  std::vector<std::string> prepare() {
    save(corpus_, list_path(scratch_.path()));
    Results::create(results_path(scratch_.path()), corpus_.files.size());
    results_ = std::make_unique<Results>(results_path(scratch_.path()));
    std::vector<std::string> arguments = {"keyrack-indexer",
                                          "--worker",
                                          std::to_string(getpid()),
                                          "--segment",
                                          segment_.name(),
                                          "--scratch",
                                          scratch_.path().string(),
                                          "--slow-every",
                                          std::to_string(options_.pace.every),
                                          "--slow-ms",
                                          std::to_string(options_.pace.time.count())};
    if (options_.break_exclusion) arguments.emplace_back("--break-exclusion");
    return arguments;
  }

  bool all_finished() const {
    return std::all_of(crew_.members().begin(), crew_.members().end(),
                       [&](pid_t pid) { return finished_.contains(pid); });
  }

  // At so many files done; drawn anew for each run, so each run dies elsewhere.
  void plan_kills() {
    std::uniform_int_distribution<std::size_t> when(0, corpus_.files.size() * 9 / 10);
    for (std::size_t i = 0; i < options_.kills; ++i) kills_due_.insert(when(random_));
  }

  void hear() {
    for (const std::string& line : crew_.listen(std::chrono::milliseconds(25))) {
      const std::size_t blank = line.find(' ');
      const std::string word = line.substr(0, blank), rest = line.substr(blank + 1);
      if (word == kDone) {
        finished_.insert(std::stoi(rest));
      } else {
        taken_over_ += word == kTook;
        screen_.line("  " + rest);
      }
    }
  }

  void replace_the_dead() {
    for (const Departure& one : crew_.departures()) {
      heed_signals();    // that came to all of us
      if (!WIFSIGNALED(one.status) || WTERMSIG(one.status) != SIGKILL) expect_success(one);
      crew_.hire();
    }
  }

  // Stopped first, so as to look whether it is in the middle of a file: only then does it have to die.
  void kill_when_due() {
    if (kills_due_.empty() || results_->files_done() < *kills_due_.begin() || crew_.members().empty()) return;
    std::uniform_int_distribution<std::size_t> any(0, crew_.members().size() - 1);
    const pid_t victim = crew_.members()[any(random_)];
    if (!crew_.stop(victim)) return;
    const keyrack::Snapshot picture = inspect(segment_.name())->snapshot().value();
    const auto claim = std::find_if(picture.locks.begin(), picture.locks.end(), [&](const keyrack::LockPicture& lock) {
      const auto file = index_of_.find(lock.signature);
      return lock.pid == victim && file != index_of_.end() && !results_->done(file->second);
    });
    if (claim == picture.locks.end()) {
      crew_.resume(victim);
      return;
    }
    crew_.kill(victim);
    kills_due_.erase(kills_due_.begin());
    ++killed_;
    const std::string& path = corpus_.files[index_of_.at(claim->signature)].path;
    screen_.line(Screen::Tone::bad, fmt::format("  {} KILLED in the middle of {}", claim->signee, display(path)));
  }

  void expect_success(const Departure& one) {
    if (WIFEXITED(one.status) && WEXITSTATUS(one.status) == 0) return;
    throw std::runtime_error(fmt::format("worker with pid {} ended with {} {}; it says why above", one.pid,
                                         WIFEXITED(one.status) ? "status" : "signal",
                                         WIFEXITED(one.status) ? WEXITSTATUS(one.status) : WTERMSIG(one.status)));
  }

  // All files are done, but the last to die may have left its result half-written, and no worker looks any more.
  void settle() {
    keyrack::NamedMutex total(segment_.locks(), kTotalKey);
    std::scoped_lock hold(total);
    if (const auto index = results_->repair(total.token())) {
      screen_.line("  the parent completed the half-written result of " + display(corpus_.files[*index].path));
    }
  }

  void show_dump() {
    if (options_.keyrack.empty()) return;
    screen_.line("");
    screen_.line(Screen::Tone::heading, fmt::format("keyrack --url shm://{} dump", segment_.name()));
    std::string url = "shm://" + segment_.name(), program = options_.keyrack, option = "--url", command = "dump";
    char* argv[] = {program.data(), option.data(), url.data(), command.data(), nullptr};
    pid_t pid = 0;
    if (const int error = posix_spawn(&pid, program.c_str(), nullptr, nullptr, argv, environ); error != 0) {
      throw std::system_error(error, std::system_category(), "cannot start " + program);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0) throw std::runtime_error(program + " dump has failed; it says why above");
  }

  bool prove(double seconds_of_all) {
    const auto started = Clock::now();
    Counts alone;
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < corpus_.files.size(); ++i) {
      heed_signals();
      const Counts counts = count(corpus_.folder, corpus_.files[i]);
      alone += counts;
      const std::uint64_t times = results_->times_counted(i);
      if (times == 1 && results_->counts(i) == counts) continue;
      if (++wrong > kWrongShown) continue;
      screen_.line(Screen::Tone::bad,
                   fmt::format("  {}: {}", display(corpus_.files[i].path),
                               times == 1 ? "counted wrongly" : fmt::format("counted {} times", times)));
    }
    const std::chrono::duration<double> took = Clock::now() - started;

    screen_.line("");
    screen_.line(Screen::Tone::heading, "Proof");
    show_total(fmt::format("{} workers, {} killed", options_.workers, killed_), results_->total(), seconds_of_all);
    show_total("one process, not slowed", alone, took.count());
    const auto inspector = inspect(segment_.name());
    const keyrack::Counters counters = inspector->snapshot().value().counters;
    screen_.line(fmt::format("  {} take-overs, {} dead sessions cleared up after, {} records given to another key",
                             taken_over_, counters.recoveries, grouped(counters.evictions)));
    const auto findings = inspector->verify();
    for (const keyrack::Finding& finding : findings) {
      screen_.line(Screen::Tone::bad, fmt::format("  segment: {}: {}", finding.place, finding.what));
    }

    const bool proved = wrong == 0 && alone == results_->total() && findings.empty();
    if (proved) {
      screen_.line(Screen::Tone::good,
                   fmt::format("PROVED: the totals are equal; each of the {} files was counted once.",
                               grouped(corpus_.files.size())));
    } else {
      screen_.line(
          Screen::Tone::bad,
          fmt::format("NOT PROVED: {} of {} files were counted wrongly, the totals {}, the segment is {}.",
                      grouped(wrong), grouped(corpus_.files.size()),
                      alone == results_->total() ? "are equal" : "differ", findings.empty() ? "sound" : "unsound"));
    }
    return proved;
  }

  void show_total(const std::string& who, const Counts& counts, double seconds) {
    screen_.line(fmt::format("  {:<24} {:>13} words {:>11} lines {:>13} bytes {:>6.1f} s", who, grouped(counts.words),
                             grouped(counts.lines), grouped(counts.bytes), seconds));
  }

  static constexpr std::size_t kWrongShown = 5;

  const ParentOptions& options_;
  const Corpus corpus_;
  Screen& screen_;
  std::mt19937 random_;
  std::map<std::string, std::size_t> index_of_;    // of a file, by its key
  std::multiset<std::size_t> kills_due_;           // at so many files done
  std::set<pid_t> finished_;
  std::size_t killed_ = 0, taken_over_ = 0;
  ScratchFolder scratch_;
  std::unique_ptr<Results> results_;
  Segment segment_;
  Crew crew_;    // the last: it goes first, while what the workers use is still there
};

}    // namespace

bool run(const ParentOptions& options) {
  catch_signals();
  Screen screen;
  screen.line(Screen::Tone::heading, "Listing the text files under " + options.folder.string());
  Corpus corpus = list_text_files(options.folder, options.limit, heed_signals);
  if (corpus.files.empty()) {
    throw std::runtime_error("there is no text file under " + options.folder.string() +
                             "; name a folder that has some");
  }
  const unsigned seed = options.seed ? *options.seed : std::random_device()();
  screen.line(fmt::format("  {} files; {} left out: compressed, binary, huge or not to be read; {} beyond the limit",
                          grouped(corpus.files.size()), grouped(corpus.skipped), grouped(corpus.left_over)));
  screen.line(fmt::format("  {} workers, each with a name of the family \"worker\"; {} will be killed (--seed {})",
                          options.workers, options.kills, seed));
  if (options.pace.every != 0) {
    screen.line(fmt::format("  one file in {} is read slowly, {} ms, so that there is something to see",
                            options.pace.every, options.pace.time.count()));
  }
  return Run(options, std::move(corpus), seed, screen).run();
}

}    // namespace indexer
