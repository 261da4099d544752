// keyrack_corruption: damages a segment in every way that is asked for, and makes every call on it.
#include "damage.hpp"
#include "sweep.hpp"

#include "../reference/canary.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>

namespace keyrack::tests {

namespace {

constexpr table::Geometry kSmall{.slots = 16, .sessions = 4, .max_signature = 16, .max_signee = 16};
constexpr table::Geometry kLarge{.slots = 1024, .sessions = 16, .max_signature = 32, .max_signee = 32};

struct Options {
  std::string what = "bits", how = "both";
  std::uint64_t count = 0;
  std::uint64_t seed = std::random_device()();
  Expectation expectation;
};

/// Bits of words that are in use all, of the others some: `count` in all, or every single one.
std::vector<std::uint64_t> bits_to_flip(const Image& image, std::uint64_t count, std::uint64_t seed) {
  std::vector<std::uint64_t> bits;
  std::mt19937_64 dice(seed);
  const std::uint64_t all = 8 * image.bytes.size();
  if (count == 0) {
    for (std::uint64_t bit = 0; bit < all; ++bit) bits.push_back(bit);
    return bits;
  }
  std::vector<std::uint64_t> used;
  for (std::uint64_t bit = 0; bit < all; ++bit) {
    const std::size_t word = bit / 64 * 8;
    if (image.bytes.compare(word, 8, std::string(8, '\0')) != 0) used.push_back(bit);
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    bits.push_back(i % 4 == 0 ? dice() % all : used[dice() % used.size()]);
  }
  return bits;
}

std::vector<std::uint64_t> numbers_from(std::uint64_t seed, std::uint64_t count) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < count; ++i) numbers.push_back(seed + i);
  return numbers;
}

void show_progress(const char* how, std::size_t done, std::size_t all) {
  if (::isatty(STDERR_FILENO) == 0) return;
  const std::size_t width = 40, full = all == 0 ? 0 : width * done / all;
  fmt::print(stderr, "\r{:>9} [{}{}] {}/{} ", how, std::string(full, '#'), std::string(width - full, '.'), done, all);
}

/// Runs one plan and prints its line. The number of faults.
std::size_t run(const char* how, const Image& image, Plan plan) {
  plan.progress = [how](std::size_t done, std::size_t all) { show_progress(how, done, all); };
  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome = sweep(image, plan);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (::isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r{:80}\r", "");
  fmt::print("{:>9}: {} of {} damages, {} calls, {} faults, {:.1f} s\n", how, outcome.done, plan.numbers.size(),
             outcome.calls, outcome.faults.size(), seconds);
  std::string answers;
  for (const auto& [answer, count] : outcome.answers) answers += fmt::format(" {} {}", answer, count);
  fmt::print("           answers:{}\n", answers);
  for (const Fault& fault : outcome.faults) {
    fmt::print("           FAULT {}: {} ({}): {}\n", fault.number, fault.call, fault.damage, fault.what);
  }
  std::fflush(stdout);
  return outcome.faults.size();
}

Plan plan_for(const Image& image, const Options& options) {
  Plan plan;
  const table::Layout layout = image.layout();
  if (options.what == "bits") {
    plan.numbers = bits_to_flip(image, options.count, options.seed);
    plan.damage = [layout](std::byte* bytes, std::uint64_t bit) {
      flip(bytes, bit);
      return "bit " + std::to_string(bit % 8) + " of " + place_of(layout, bit / 8);
    };
  } else {
    plan.numbers = numbers_from(options.seed, options.count == 0 ? 20'000 : options.count);
    plan.damage = [layout](std::byte* bytes, std::uint64_t seed) { return Mutation(layout, seed).apply(bytes); };
  }
  return plan;
}

/// All that is asked for on one image. The number of faults.
std::size_t run(const Image& image, const Options& options) {
  fmt::print("{} of a segment of {} slots, {} bytes; seed {}\n", options.what, image.geometry.slots, image.bytes.size(),
             options.seed);
  const std::pair<const char*, How> ways[] = {
      {"newcomer", How::newcomer}, {"attached", How::attached}, {"storm", How::storm}};
  std::size_t faults = 0;
  for (const auto& [name, how] : ways) {
    const bool asked = options.how == name || (options.how == "both" && how != How::storm);
    if (!asked) continue;
    Plan plan = plan_for(image, options);
    plan.how = how;
    faults += run(name, image, std::move(plan));
  }
  return faults;
}

int main(const Options& options) {
  // A crash is told in a line, not in a file of many GiB.
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);

  std::size_t faults = run(make_image(kSmall), options);
  if (options.what == "words") faults += run(make_image(kLarge, 700, 150), options);
  return options.expectation.exit_code(faults);
}

}    // namespace
}    // namespace keyrack::tests

int main(int argc, char** argv) {
  keyrack::tests::Options options;
  CLI::App app("Damages a segment and makes every call on it: none may crash, hang, or touch what lies outside.");
  app.add_option("what", options.what, "bits of a small segment, or random words of that and of a larger one")
      ->check(CLI::IsMember({"bits", "words"}));
  app.add_option("--how", options.how, "newcomer, attached, both (default), storm")
      ->check(CLI::IsMember({"newcomer", "attached", "both", "storm"}));
  app.add_option("--count", options.count, "so many, at random; else every bit, or 20000 changes of words");
  app.add_option("--seed", options.seed, "else another one each time; it is printed");
  options.expectation.add_to(app);
  CLI11_PARSE(app, argc, argv);
  return keyrack::tests::main(options);
}
