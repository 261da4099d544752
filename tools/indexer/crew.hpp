// The worker processes of the parent: starting, hearing, stopping, killing and dismissing them.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace indexer {

struct Departure {
  pid_t pid;
  int status;    // as wait(2) tells it
};

class Crew {
 public:
  /// `arguments`: what this very program is started with as a worker.
  explicit Crew(std::vector<std::string> arguments);
  /// Kills whoever is left.
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  void hire();
  const std::vector<pid_t>& members() const { return members_; }

  /// The lines that workers have written; waits for the first at most so long.
  std::vector<std::string> listen(std::chrono::milliseconds wait);

  /// The members that have ended since, and are none any more.
  std::vector<Departure> departures();

  /// False when it has ended instead of stopping; departures() tells then.
  bool stop(pid_t);
  void resume(pid_t);
  void kill(pid_t);

  /// Lets all go, now that nothing is left to do, and waits for them.
  std::vector<Departure> dismiss();

 private:
  std::vector<std::string> arguments_;
  std::vector<pid_t> members_;
  std::string heard_;          // the start of a line that is not complete yet
  int ear_ = -1;               // read end of the pipe that is the workers' standard output,
  int mouth_ = -1;             // and its write end
  int leash_[2] = {-1, -1};    // the workers' standard input, which closes when they may go
};

}    // namespace indexer
