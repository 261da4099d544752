// What the errors say, and how they are thrown.
#include <keyrack/errors.hpp>

#include <boost/locale/utf.hpp>
#include <boost/throw_exception.hpp>

#include <cstddef>
#include <new>
#include <string_view>

namespace keyrack {
namespace {

class Category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "keyrack"; }

  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::forbidden:
        return "held by somebody else";
      case Errc::bad_request:
        return "a signature, signee, family or name is empty, too long or has a NUL inside";
      case Errc::not_found:
        return "no such lock";
      case Errc::in_use:
        return "somebody has that name";
      case Errc::not_exist:
        return "that name was never acquired";
      case Errc::timed_out:
        return "timed out";
      case Errc::table_full:
        return "no room for another record";
      case Errc::session_limit:
        return "no room for another process";
      case Errc::bad_url:
        return "bad URL";
      case Errc::unknown_backend:
        return "unknown backend";
      case Errc::no_segment:
        return "no such segment";
      case Errc::incompatible_segment:
        return "the segment has another layout or geometry: leave the options out, or remove the segment";
      case Errc::corrupt_segment:
        return "what is stored is corrupt";
      case Errc::permission_denied:
        return "permission denied";
      case Errc::backend_unavailable:
        return "the backend is unavailable";
      case Errc::lost:
        return "what you held was taken away";
      case Errc::would_deadlock:
        return "waiting would never end: it would close a cycle of waiters";
    }
    return "unknown keyrack error " + std::to_string(value);
  }

  std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<Errc>(value)) {
      case Errc::bad_request:
      case Errc::bad_url:
        return std::errc::invalid_argument;
      case Errc::timed_out:
        return std::errc::timed_out;
      case Errc::no_segment:
        return std::errc::no_such_file_or_directory;
      case Errc::permission_denied:
        return std::errc::permission_denied;
      case Errc::would_deadlock:
        return std::errc::resource_deadlock_would_occur;
      default:
        return {value, *this};
    }
  }
};

// Bytes from other processes go to terminals and logs: what is not printable UTF-8 becomes \xHH.
std::string printable(std::string_view bytes) {
  namespace utf = boost::locale::utf;
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const char *at = bytes.begin(), *const end = bytes.end(); at != end;) {
    const char* next = at;
    const utf::code_point point = utf::utf_traits<char>::decode(next, end);
    const bool valid = point != utf::illegal && point != utf::incomplete;
    const bool control = point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029;
    if (valid && !control) {
      text.append(at, next);
      at = next;
      continue;
    }
    // Of a broken sequence only the first byte: the next may begin a sound one.
    for (const char* const stop = valid ? next : at + 1; at != stop; ++at) {
      const auto byte = static_cast<unsigned char>(*at);
      text.append({'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]});
    }
  }
  return text;
}

// std::system_error appends the code's message to what it is given; here what() is the whole message and no more.
class Error : public std::system_error {
 public:
  Error(std::error_code code, std::string message) : std::system_error(code), message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

}    // namespace

const std::error_category& category() noexcept {
  // Never destroyed: destructors of static objects may still hold error codes. And never allocated: the first error may
  // be that there is no memory.
  alignas(Category) static std::byte place[sizeof(Category)];
  static const Category& instance = *new (place) Category;
  return instance;
}

std::error_code make_error_code(Errc errc) noexcept { return {static_cast<int>(errc), category()}; }

std::string Refusal::message() const {
  const bool timed_out = code == Errc::timed_out;
  if (holder.empty() || !(timed_out || code == Errc::forbidden)) return code.message();
  return (timed_out ? "timed out: held by " : "held by ") + printable(holder) + " (pid " + std::to_string(pid) +
         ", level " + std::to_string(level) + ")";
}

std::string OpenError::message() const {
  return detail.empty() ? code.message() : code.message() + ": " + printable(detail);
}

void throw_exception_from_error(const Refusal& refusal, const boost::source_location& where) {
  boost::throw_with_location(Error(refusal.code, refusal.message()), where);
}

void throw_exception_from_error(const OpenError& error, const boost::source_location& where) {
  boost::throw_with_location(Error(error.code, error.message()), where);
}

}    // namespace keyrack
