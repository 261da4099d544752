#include "stage.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

namespace keyrack::tests {

namespace {

std::size_t entries_of(const char* folder) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) count += entry.path().empty() ? 0 : 1;
  return count;
}

template <std::size_t size>
void put(std::array<char, size>& place, const std::string& text) {
  place[text.copy(place.data(), size - 1)] = '\0';
}

/// What a call may answer because the system gives it nothing.
bool is_sensible(const Answer& answer) {
  return (answer.code == Errc::backend_unavailable || answer.code == Errc::permission_denied ||
          answer.code == Errc::table_full || answer.code == Errc::lost) &&
         (!answer.detail || !answer.detail->empty());
}

}    // namespace

Possessions Possessions::now() {
  Possessions now;
  now.files = entries_of("/proc/self/fd");
  now.threads = entries_of("/proc/self/task");
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/dev/shm/") != line.npos) ++now.mappings;
  }
  return now;
}

std::string Possessions::text() const {
  return std::to_string(files) + " files, " + std::to_string(mappings) + " mappings, " + std::to_string(threads) +
         " threads";
}

void Stage::fault(const std::string& what) {
  if (verdict_.fault[0] == '\0') put(verdict_.fault, what);
}

void Stage::judge(const Answer& answer, const Possessions& before) {
  const std::string name = testing::outcome(answer.code);
  put(verdict_.answer, name);
  if (!answer.code || usual_ == nullptr || name == usual_->answer.data()) return;
  if (!is_sensible(answer)) fault("answers " + name + ", " + answer.detail.value_or("without a detail"));
  if (keeps_session_) return;
  Possessions after = Possessions::now();
  // A thread that has been joined may be seen for another instant.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!(after == before) && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    after = Possessions::now();
  }
  if (!(after == before)) fault("loses something: " + before.text() + " before, " + after.text() + " after");
}

void Stage::judge_again(const Answer& answer) {
  const std::string name = testing::outcome(answer.code);
  put(verdict_.again, name);
  if (!answer.code || usual_ == nullptr || name == usual_->answer.data() || name == usual_->again.data()) return;
  fault("once more, with nothing failing, answers " + name + ", " + answer.detail.value_or("without a detail"));
}

}    // namespace keyrack::tests
