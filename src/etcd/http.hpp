// HTTP requests to a host: connections are kept alive and used again, and everything has a time limit.
#pragma once

#include "etcd/options.hpp"

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack::etcd {

using std::chrono::steady_clock;

struct HttpAnswer {
  enum class Came {
    whole,         // the status and all of the body
    never_sent,    // certainly: there was no connection
    in_doubt,      // cut off, too late, too long: whatever was asked for may have been done
  } came = Came::in_doubt;
  bool timed_out = false;
  long status = 0;
  std::string body = {};
  std::string what = {};    // went wrong
};

/// Safe from many threads. Not to be used, nor destroyed, in a forked child: its connections are the parent's.
class Http {
 public:
  explicit Http(const Access&);
  ~Http();
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;

  HttpAnswer post(const std::string& endpoint, std::string_view path, const std::string& body,
                  const std::string& authorization, steady_clock::time_point until);

  /// Gives each line of the answer to `on_line` as it comes, until that answers false (then it came whole), the answer
  /// ends or the time is up (then its coming was in doubt).
  HttpAnswer stream(const std::string& endpoint, std::string_view path, const std::string& body,
                    const std::string& authorization, steady_clock::time_point until,
                    const std::function<bool(std::string_view line)>& on_line);

 private:
  struct Handle;
  class Borrowed;
  HttpAnswer perform(Handle&, const std::string& endpoint, std::string_view path, const std::string& body,
                     const std::string& authorization, steady_clock::time_point until);

  const Access access_;
  std::mutex mutex_;    // guards idle_
  std::vector<std::unique_ptr<Handle>> idle_;
};

}    // namespace keyrack::etcd
