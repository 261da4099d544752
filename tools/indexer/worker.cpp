#include "worker.hpp"

#include "corpus.hpp"
#include "results.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <keyrack/keyrack.hpp>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

namespace indexer {
namespace {

constexpr std::size_t kMaxSignature = 128;    // of a segment, unless it was created with another

/// One write, so that the lines of several workers do not mix, and a worker killed here has told all or nothing.
void tell(const char* word, const std::string& text) {
  const std::string line = fmt::format("{} {}\n", word, text);
  if (write(STDOUT_FILENO, line.data(), line.size()) < 0) throw std::runtime_error("the parent listens no more");
}

class Worker {
 public:
  explicit Worker(const WorkerOptions& options)
      : options_(options),
        corpus_(load(list_path(options.scratch))),
        results_(results_path(options.scratch)),
        locks_(keyrack::open_lock_service("shm://" + options.segment + "?create=false").value()),
        names_(keyrack::open_name_manager("shm://" + options.segment + "?create=false").value()),
        name_(names_->hold("worker").value()),
        me_(fmt::format("worker-{} (pid {})", name_.name(), getpid())),
        total_(*locks_, kTotalKey) {
    tell(kNote, me_ + " is at work");
  }

  void run() {
    while (const std::optional<std::size_t> index = claim()) {
      const Counts counts = count_at_pace(*index);
      if (name_.status()) throw std::runtime_error("lost the name " + name_.name() + ": " + name_.status().message());
      {
        std::scoped_lock hold(total_);
        settle();
        results_.add(total_.token(), *index, counts);
      }
      give_back(*index);
    }
    tell(kDone, std::to_string(getpid()));
  }

 private:
  enum class Wait { no, yes };

  // The lock of the first file that is neither done nor somebody else's; waits while there are only such of others.
  std::optional<std::size_t> claim() {
    for (;;) {
      std::optional<std::size_t> busy;
      for (std::size_t i = first_open_; i < corpus_.files.size(); ++i) {
        if (results_.done(i)) {
          if (i == first_open_) ++first_open_;
          continue;
        }
        if (take(i, Wait::no)) return i;
        if (!busy && !results_.done(i)) busy = i;
      }
      if (!busy) return std::nullopt;
      // Asleep until its holder has unlocked it, or died: whatever comes first.
      if (take(*busy, Wait::yes)) return busy;
    }
  }

  /// True with the file's lock held, and the file not done.
  bool take(std::size_t index, Wait wait) {
    if (options_.break_exclusion) return true;
    const std::string& path = corpus_.files[index].path;
    const std::string key = file_key(path);
    const keyrack::LockRequest request{.signature = key, .signee = me_};
    const keyrack::LockOptions bound{.lifetime = keyrack::Lifetime::process};
    const auto grant = wait == Wait::yes
                           ? locks_->lock_until(request, std::chrono::steady_clock::time_point::max(), bound)
                           : locks_->lock(request, bound);
    if (!grant) {
      if (grant.error().code == keyrack::Errc::forbidden) return false;
      throw std::runtime_error("cannot lock " + display(path) + ": " + grant.error().message());
    }
    if (grant->status == keyrack::LockStatus::transferred) {
      tell(kTook, fmt::format("{} took {} over from {}, killed", me_, display(path), grant->previous_signee));
    }
    {
      // Whether it is done counts only now that it is ours, and only once the dead one's last word has been heeded.
      std::scoped_lock hold(total_);
      settle();
    }
    if (!results_.done(index)) return true;
    give_back(index);
    return false;
  }

  /// With the mutex held: carries out what a killed worker declared.
  void settle() {
    if (const auto index = results_.repair(total_.token())) {
      tell(kNote, fmt::format("{} completed the half-written result of {}", me_, display(corpus_.files[*index].path)));
    }
  }

  void give_back(std::size_t index) {
    if (options_.break_exclusion) return;
    const std::string key = file_key(corpus_.files[index].path);
    const auto answer = locks_->unlock({.signature = key, .signee = me_});
    if (!answer) throw std::runtime_error("cannot unlock: " + answer.error().message());
  }

  Counts count_at_pace(std::size_t index) {
    if (options_.pace.is_slow(index)) std::this_thread::sleep_for(options_.pace.time);
    return count(corpus_.folder, corpus_.files[index]);
  }

  const WorkerOptions& options_;
  const Corpus corpus_;
  Results results_;
  std::unique_ptr<keyrack::LockService> locks_;
  std::unique_ptr<keyrack::NameManager> names_;
  keyrack::HeldName name_;
  const std::string me_;    // the process too, so that whoever bears the name next is somebody else
  keyrack::NamedMutex total_;
  std::size_t first_open_ = 0;    // all files before it are done
};

}    // namespace

std::string file_key(const std::string& path) {
  std::string key = "file/" + path;
  if (key.size() <= kMaxSignature) return key;
  const XXH128_hash_t hash = XXH3_128bits(path.data(), path.size());
  return fmt::format("hash/{:016x}{:016x}", hash.high64, hash.low64);
}

std::string display(const std::string& path) {
  constexpr std::size_t kWidth = 48;
  std::string shown = path.size() <= kWidth ? path : "..." + path.substr(path.size() - kWidth + 3);
  std::replace_if(
      shown.begin(), shown.end(), [](unsigned char c) { return c < ' ' || c >= 127; }, '?');
  return shown;
}

void work(const WorkerOptions& options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != options.parent) throw std::runtime_error("the parent is gone already");

  Worker worker(options);
  worker.run();
  // Stays, with its name, until the parent has looked at everything.
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

}    // namespace indexer
