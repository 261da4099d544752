// Runs a fuzz target without libFuzzer: all files of a corpus, then so many inputs made from them at random.
#include "target.hpp"

#include <CLI/CLI.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kBytesMax = 512;

struct Options {
  std::string corpus;
  std::uint64_t runs = 5000, seed = std::random_device()();
  bool expect_crash = false;
};

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> files;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return files;
}

/// Makes new inputs of old ones.
class Mutator {
 public:
  Mutator(const std::vector<std::string>& files, std::uint64_t seed) : files_(files), dice_(seed) {}

  std::string next() {
    std::string input = some_file();
    for (std::size_t changes = 1 + below(6); changes > 0; --changes) change(input);
    input.resize(std::min(input.size(), kBytesMax));
    return input;
  }

 private:
  std::size_t below(std::size_t end) { return std::uniform_int_distribution<std::size_t>(0, end - 1)(dice_); }
  char byte() { return static_cast<char>(below(256)); }
  const std::string& some_file() { return files_[below(files_.size())]; }

  void change(std::string& input) {
    const std::size_t at = below(input.size() + 1);
    switch (below(6)) {
      case 0:
        input.insert(at, 1, byte());
        break;
      case 1:
        input.erase(at, 1 + below(8));
        break;
      case 2:
        if (at < input.size()) input[at] = byte();
        break;
      case 3:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ 1 << below(8));
        break;
      case 4: {    // a piece of another
        const std::string& other = some_file();
        const std::size_t from = below(other.size() + 1);
        input.insert(at, other, from, below(24));
        break;
      }
      default:    // a piece of itself
        input.insert(at, input.substr(below(input.size() + 1), below(24)));
    }
  }

  const std::vector<std::string>& files_;
  std::mt19937_64 dice_;
};

void run(const Options& options) {
  const std::vector<std::string> files = files_of(options.corpus);
  const auto try_one = [](const std::string& input) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  };
  for (const std::string& file : files) try_one(file);
  Mutator mutator(files, options.seed);
  for (std::uint64_t i = 0; i < options.runs; ++i) try_one(mutator.next());
}

}    // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Feeds a fuzz target with a corpus, and with inputs made from it at random.");
  app.add_option("corpus", options.corpus, "a folder of inputs")->required();
  app.add_option("--runs", options.runs, "so many random inputs");
  app.add_option("--seed", options.seed, "else another one each time; it is printed");
  app.add_flag("--expect-crash", options.expect_crash, "the other way round: for a target that is broken on purpose");
  CLI11_PARSE(app, argc, argv);
  std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
  std::fflush(stdout);

  // In a process of its own: the end of that one is the verdict, and what the target prints is nobody's.
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const pid_t worker = ::fork();
  if (worker == 0) {
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    ::dup2(nowhere, STDOUT_FILENO);
    run(options);
    std::_Exit(0);
  }
  int status = 0;
  ::waitpid(worker, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNotAllowed) return kNotAllowed;
  if (status != 0)
    std::printf("ends with %#x; --seed %llu repeats it\n", static_cast<unsigned>(status),
                static_cast<unsigned long long>(options.seed));
  return (status == 0) == options.expect_crash ? 1 : 0;
}
