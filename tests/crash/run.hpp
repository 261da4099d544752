// One run: the scene is set, the call is stepped or run to one of its instructions.
#pragma once

#include "cast.hpp"
#include "tracee.hpp"

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace keyrack::crash {

/// A place in a call: before its instruction with that number (of the trace), or asleep in it.
struct Point {
  std::uint32_t index = 0;
  bool asleep = false;
};

/// The instructions of a call, as they came in one run. Of a call that opens, which is long: those of this program's
/// own code, and of the other libraries' (memory, threads, files) the system calls alone and what comes after each;
/// nothing else there changes what others see.
struct Path {
  std::vector<std::uintptr_t> addresses;
  std::vector<std::uint32_t> visits;     // how often the address came before, without what follows itself (rep)
  std::vector<std::uint32_t> asleep;     // where it slept
  std::vector<std::uint32_t> changed;    // after these, the watched bytes were others than before
  std::string outcome;

  void add(std::uintptr_t address);
  /// Every instruction of the path, the end, and each sleep.
  std::vector<Point> points() const;

 private:
  std::map<std::uintptr_t, std::uint32_t> count_;
};

/// A process that is ready to make its call, traced.
class Performance {
 public:
  Performance(Board&, const Scenario&);

  const Process& process() const { return process_; }
  Tracee& tracee() { return tracee_; }

  /// Steps through the call. `watched`: bytes of the segment.
  Path trace(std::span<const std::byte> watched = {});
  /// False: it went another way and has come to the end of the call, where it stands now.
  bool run_to(const Path&, Point);

 private:
  void enter_call();
  void pass_library(Path&);

  Board& board_;
  const Scenario& scenario_;
  Process process_;
  Tracee tracee_;
  std::uintptr_t entry_, end_ = 0;
};

/// What a scenario needs before its victim makes the call.
class Scene {
 public:
  Scene(Cast&, std::size_t scenario);
  ~Scene();
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  const Scenario& scenario() const { return scenario_; }
  const std::string& segment() const { return segment_; }
  Board& board() { return board_; }
  Actor* survivor() { return survivor_.get(); }
  Performance& victim() { return *victim_; }
  /// The segment's bytes; nothing if there is none before the call.
  std::span<std::byte> bytes() const;
  void kill_helper() { helper_.reset(); }

 private:
  void start_helper(Cast&, std::size_t scenario);

  const Scenario& scenario_;
  Board& board_;
  std::string segment_;
  std::shared_ptr<const shm::Segment> mapped_;
  std::unique_ptr<Actor> survivor_;
  std::optional<Process> helper_;
  std::optional<Performance> victim_;
};

/// A segment's bytes for reading and writing.
std::span<std::byte> bytes_of(const shm::Segment&);

/// As it stands in this program's file, if it is of its code.
std::uintptr_t file_address(std::uintptr_t);

/// The harness itself has failed: nothing is proven.
[[noreturn]] void give_up(const std::string& what);

}    // namespace keyrack::crash
