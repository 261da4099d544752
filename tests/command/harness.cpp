// Processes, their output and their ends.
#include "harness.hpp"

#include <keyrack/segment.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace keyrack::command_test {
namespace {

constexpr std::chrono::seconds kPatience(30);

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

std::string content_of(int file) {
  std::string text;
  std::array<char, 65536> piece{};
  for (ssize_t got = 0; (got = ::pread(file, piece.data(), piece.size(), static_cast<off_t>(text.size()))) > 0;) {
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}    // namespace

bool eventually(const std::function<bool()>& is_so) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Process::Process(Words words, const std::optional<std::string>& url) {
  out_ = checked(::memfd_create("out", MFD_CLOEXEC), "memfd_create");
  err_ = checked(::memfd_create("err", MFD_CLOEXEC), "memfd_create");
  std::array<int, 2> input{};
  checked(::pipe2(input.data(), O_CLOEXEC), "pipe2");
  in_ = input[1];

  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (!text.starts_with("KEYRACK_") && !text.starts_with("NO_COLOR=")) environment.emplace_back(text);
  }
  if (url) environment.push_back("KEYRACK_URL=" + *url);
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> result;
    result.reserve(texts.size() + 1);
    for (std::string& text : texts) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
  };

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out_, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, err_, STDERR_FILENO);
  const int error =
      ::posix_spawnp(&pid_, words[0].c_str(), &files, nullptr, pointers(words).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  ::close(input[0]);
  if (error != 0) throw std::system_error(error, std::generic_category(), words[0]);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      in_(std::exchange(other.in_, -1)),
      out_(std::exchange(other.out_, -1)),
      err_(std::exchange(other.err_, -1)),
      status_(other.status_) {}

Process::~Process() {
  if (pid_ > 0 && !ended()) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  for (const int file : {in_, out_, err_}) {
    if (file >= 0) ::close(file);
  }
}

std::string Process::out() const { return content_of(out_); }
std::string Process::err() const { return content_of(err_); }

void Process::write(const std::string& text) const {
  ASSERT_EQ(::write(in_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

void Process::close_input() { ::close(std::exchange(in_, -1)); }

void Process::signal(int number) const { ASSERT_EQ(::kill(pid_, number), 0); }

bool Process::ended() {
  int status = 0;
  if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) {
    status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return status_.has_value();
}

int Process::wait() {
  EXPECT_TRUE(eventually([&] { return ended(); })) << "still running; so far it says: " << out() << err();
  return status_.value_or(-1);
}

CommandTest::CommandTest() {
  static int count = 0;
  segment_ = fmt::format("keyrack-command-test-{}-{}", ::getpid(), ++count);
}

CommandTest::~CommandTest() { (void)remove_segment(segment_); }

Process CommandTest::start(Words words) const {
  words.insert(words.begin(), KEYRACK_COMMAND);
  return {std::move(words), url()};
}

Ended CommandTest::keyrack(Words words) const {
  Process process = start(std::move(words));
  process.close_input();
  const int status = process.wait();
  return {status, process.out(), process.err()};
}

nlohmann::json CommandTest::keyrack_json(Words words) const {
  words.insert(words.end(), {"--format", "json"});
  const Ended ended = keyrack(std::move(words));
  EXPECT_EQ(ended.status, 0) << ended.err;
  auto parsed = nlohmann::json::parse(ended.out, nullptr, false);
  EXPECT_FALSE(parsed.is_discarded()) << ended.out;
  return parsed;
}

std::optional<std::uint64_t> CommandTest::token_of(const std::string& key, const std::string& signee) const {
  const Ended ended = keyrack({"check", key, "--format", "json"});
  if (ended.status != 0) return std::nullopt;
  const auto grant = nlohmann::json::parse(ended.out);
  if (grant.at("signee") != signee) return std::nullopt;
  return grant.at("token").get<std::uint64_t>();
}

testing::AssertionResult is_one_error_line(const std::string& text) {
  if (text.starts_with("keyrack: ") && std::count(text.begin(), text.end(), '\n') == 1 && text.ends_with('\n')) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "not one line that begins with \"keyrack: \": " << text;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}    // namespace keyrack::command_test
