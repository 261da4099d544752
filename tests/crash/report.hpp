// What the sweeps came to: a bar while they run, a table at the end.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace keyrack::crash {

enum class Kind {
  death,
  stop,
  overtaken,    // stopped, and killed there when the others have gone on
  rescuer,
};
inline constexpr std::array<const char*, 4> kKinds{"death", "stop", "overtaken", "rescuer"};

struct Tally {
  std::atomic<std::uint64_t> instructions{0}, points{0}, wrecks{0}, runs{0}, diverged{0}, violations{0};
};

class Progress {
 public:
  explicit Progress(std::size_t all) : all_(all) {}
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// On a terminal only.
  void show(std::size_t done, std::size_t violations) const;

 private:
  std::size_t all_;
};

class Table {
 public:
  Table(Kind, bool markdown);
  void add(const std::string& scenario, const Tally&);
  void finish();

 private:
  void line(const std::vector<std::string>& cells) const;

  Kind kind_;
  bool markdown_;
  Tally sum_;
};

}    // namespace keyrack::crash
