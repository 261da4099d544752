// Errors put into words.
#include "failure.hpp"

#include "command_line.hpp"
#include "output.hpp"
#include "query.hpp"

#include <cstdio>
#include <string>

namespace keyrack::command {
namespace {

/// What to do about it; empty where the message says so, or nothing can be said in general.
std::string_view remedy_for(std::error_code code, std::string_view url) {
  if (code.category() != category()) return "";
  const bool etcd = url.starts_with("etcd:");
  switch (static_cast<Errc>(code.value())) {
    case Errc::bad_request:
      return etcd ? "max_signature and max_signee of the URL say how long each may be, else 128 and 64 bytes"
                  : "keyrack dump tells the segment's max_signature and max_signee";
    case Errc::not_exist:
      return "keyrack acquire lends the lowest free name, keyrack list tells which there are";
    case Errc::in_use:
      return etcd ? "keyrack list tells since when, keyrack acquire lends the lowest free name"
                  : "keyrack dump tells by whom";
    case Errc::table_full:
      return etcd ? "etcd's database is full: etcdctl compact, defrag, then alarm disarm"
                  : "unlock something, or use a segment with more slots";
    case Errc::session_limit:
      return "close one, or use a segment with more sessions";
    case Errc::bad_url:
      return etcd ? "a URL looks like etcd://10.0.0.1:2379,10.0.0.2:2379/orders?duration=10s"
                  : "a URL looks like shm://orders?slots=65536&duration=10s";
    case Errc::unknown_backend:
      return "keyrack backends lists those there are";
    case Errc::no_segment:
      return "keyrack create makes it, keyrack ls lists those there are";
    case Errc::corrupt_segment:
      return etcd ? "etcdctl get --prefix shows it; delete what is not keyrack's"
                  : "look with keyrack verify, then remove it with keyrack rm";
    case Errc::permission_denied:
      return etcd ? "give user and password in the URL, or that user a role for the keys of its prefix"
                  : "keyrack ls tells whose it is";
    case Errc::would_deadlock:
      return "let the signee unlock what it holds, and ask again";
    default:
      return "";
  }
}

int fail_with(std::string_view subject, std::error_code code, std::string_view message, std::string_view remedy) {
  return complain(status_of(code), "{}: {}{}{}", url::without_password(subject), message, remedy.empty() ? "" : "; ",
                  remedy);
}

}    // namespace

ExitStatus status_of(std::error_code code) {
  if (code.category() != category()) return kFailure;
  switch (static_cast<Errc>(code.value())) {
    case Errc::forbidden:
    case Errc::not_found:
    case Errc::in_use:
    case Errc::not_exist:
    case Errc::timed_out:
    case Errc::lost:
    case Errc::would_deadlock:
      return kNotGranted;
    case Errc::bad_request:
    case Errc::bad_url:
    case Errc::unknown_backend:
      return kUsage;
    default:
      return kFailure;
  }
}

int complain_line(int status, std::string_view line) {
  const std::string text = "keyrack: " + printable(line) + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
  return status;
}

int fail(const CommandLine& line, std::string_view subject, std::error_code code) {
  return fail_with(subject, code, code.message(), remedy_for(code, line.url));
}

int fail(const CommandLine& line, std::string_view subject, const OpenError& error) {
  return fail_with(subject, error.code, error.message(), remedy_for(error.code, line.url));
}

int fail(const CommandLine& line, std::string_view subject, const Refusal& refusal, std::string_view remedy) {
  if (refusal.code == Errc::forbidden && !refusal.holder.empty()) {
    return complain(kNotGranted, "{} is {}; {}", subject, refusal.message(), remedy);
  }
  return fail_with(subject, refusal.code, refusal.message(),
                   refusal.code == Errc::timed_out ? remedy : remedy_for(refusal.code, line.url));
}

}    // namespace keyrack::command
