#include "rivals/server.hpp"

#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>

#include <fstream>
#include <sstream>

namespace keyrack::bench {

namespace {

const passwd* nobody() {
  const passwd* user = ::getpwnam("nobody");
  require(user != nullptr, "there is no user nobody");
  return user;
}

void must(bool done, const std::string& what) {
  if (!done) throw std::system_error(errno, std::generic_category(), what);
}

}    // namespace

std::string find_program(std::initializer_list<const char*> patterns) {
  for (const char* pattern : patterns) {
    glob_t found{};
    std::string program;
    if (::glob(pattern, 0, nullptr, &found) == 0) program = found.gl_pathv[found.gl_pathc - 1];
    ::globfree(&found);
    if (!program.empty() && ::access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

Server::Server(As as) : as_(::geteuid() == 0 ? as : As::caller) {
  if (as_ == As::nobody) {
    const passwd* user = nobody();
    must(::chown(folder_.path().c_str(), user->pw_uid, user->pw_gid) == 0, folder_.path());
  }
}

Server::~Server() {
  if (!child_) return;
  ::kill(child_->pid(), stop_);
  try {
    child_->join();
  } catch (const std::exception&) {    // it may call its end by a signal a failure
  }
}

void Server::run(const std::string& program, const std::vector<std::string>& arguments) {
  try {
    Child([&] { become(program, arguments, SIGKILL); }).join();
  } catch (const std::exception&) {
    std::ostringstream log;
    log << std::ifstream(folder_.path("log")).rdbuf();
    throw std::runtime_error(program + " failed: " + log.str());
  }
}

void Server::start(const std::string& program, const std::vector<std::string>& arguments, int stop) {
  stop_ = stop;
  child_ = std::make_unique<Child>([&] { become(program, arguments, stop); });
}

void Server::become(const std::string& program, const std::vector<std::string>& arguments, int stop) {
  if (as_ == As::nobody) {
    const passwd* user = nobody();
    must(::setgroups(0, nullptr) == 0 && ::setgid(user->pw_gid) == 0 && ::setuid(user->pw_uid) == 0, "setuid");
  }
  ::prctl(PR_SET_PDEATHSIG, stop);    // the setuid has undone it
  if (::getppid() != owner_) ::_exit(1);
  must(::chdir(folder_.path().c_str()) == 0, folder_.path());
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int log = ::open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  must(nothing >= 0 && log >= 0, "log");
  ::dup2(nothing, STDIN_FILENO);
  const int errors = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  ::setenv("LC_ALL", "C", 1);
  ::execv(program.c_str(), pointers.data());
  const int why = errno;
  ::dup2(errors, STDERR_FILENO);
  throw std::system_error(why, std::generic_category(), program);
}

}    // namespace keyrack::bench
