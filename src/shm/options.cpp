// What a shm:// URL asks for: NAME, then options as a query.
#include "shm/options.hpp"

#include "duration.hpp"

#include <boost/url/encode.hpp>
#include <boost/url/grammar/lut_chars.hpp>
#include <boost/url/parse_query.hpp>
#include <boost/url/rfc/pchars.hpp>
#include <boost/url/rfc/sub_delim_chars.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <set>

namespace keyrack::shm {
namespace {

namespace urls = boost::urls;

constexpr auto kNameChars = urls::unreserved_chars + urls::sub_delim_chars + '%';
constexpr auto kQueryChars = urls::pchars + '/' + '?' + '%';

OpenError bad_url(std::string detail) { return {Errc::bad_url, std::move(detail)}; }

// Takes the value of one option; what is wrong with it, else empty.
using Setter = std::function<std::string(std::string_view value)>;

Setter number_to(std::optional<std::uint32_t>& target, std::uint32_t max) {
  return [&target, max](std::string_view value) -> std::string {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(value.begin(), value.end(), number);
    if (error != std::errc{} || end != value.end() || number == 0 || number > max) {
      return ": must be 1 to " + std::to_string(max);
    }
    target = number;
    return {};
  };
}

Setter mode_to(std::uint32_t& target) {
  return [&target](std::string_view value) -> std::string {
    std::uint32_t mode = 0;
    const auto [end, error] = std::from_chars(value.begin(), value.end(), mode, 8);
    if (error != std::errc{} || end != value.end() || mode > 0777) return ": must be octal, 0 to 0777";
    target = mode;
    return {};
  };
}

Setter flag_to(bool& target) {
  return [&target](std::string_view value) -> std::string {
    if (value != "true" && value != "false") return ": must be true or false";
    target = value == "true";
    return {};
  };
}

Setter duration_to(std::optional<std::chrono::nanoseconds>& target) {
  return [&target](std::string_view value) -> std::string {
    target = parse_duration(value);
    return target || value == "none" ? "" : " is not a duration (write 250ms, 10s, 1m30s)";
  };
}

template <class Chars>
Result<void, OpenError> require_url_chars(std::string_view text, const Chars& legal, std::string_view where) {
  const auto at = std::find_if_not(text.begin(), text.end(), legal);
  if (at == text.end()) return {};
  const std::string_view offender(at, 1);
  return bad_url(std::string("'")
                     .append(offender)
                     .append("' in the ")
                     .append(where)
                     .append(": write it " + urls::encode(offender, urls::unreserved_chars)));
}

Result<std::string, OpenError> parse_name(std::string_view encoded) {
  if (encoded.empty()) return bad_url("no name (write shm://NAME)");
  if (const auto slash = encoded.find('/'); slash != encoded.npos) {
    return bad_url("path " + std::string(encoded.substr(slash)) + ": a segment has a name only");
  }
  if (const auto legal = require_url_chars(encoded, kNameChars, "name"); !legal) return legal.error();
  const auto name = urls::make_pct_string_view(encoded);
  if (!name) return bad_url("name " + std::string(encoded) + ": '%' must be followed by two hexadecimal digits");
  std::string decoded = name->decode();
  if (!is_segment_name(decoded)) {
    return bad_url("name " + std::string(encoded) + ": must be 1 to 255 bytes without '/' and NUL, not . nor ..");
  }
  return decoded;
}

/// A string, not a view: Boost 1.81 reads on to the next NUL, which need not be the end of what is asked for.
Result<void, OpenError> parse_query(const std::string& query, Options& options) {
  const std::map<std::string, Setter, std::less<>> setters{
      {"slots", number_to(options.geometry.slots, 15'000'000)},
      {"sessions", number_to(options.geometry.sessions, 65'535)},
      {"max_signature", number_to(options.geometry.max_signature, 4096)},
      {"max_signee", number_to(options.geometry.max_signee, 4096)},
      {"mode", mode_to(options.mode)},
      {"create", flag_to(options.create)},
      {"duration", duration_to(options.duration)},
      {"time_to_live", duration_to(options.time_to_live)},
      {"auto_release_after", duration_to(options.auto_release_after)},
  };
  if (const auto legal = require_url_chars(query, kQueryChars, "options"); !legal) return legal.error();
  const auto params = urls::parse_query(query);
  if (!params) return bad_url("options " + query + ": '%' must be followed by two hexadecimal digits");
  std::set<std::string> seen;
  for (const auto param : *params) {
    const std::string key = param.key.decode();
    const auto setter = setters.find(key);
    if (setter == setters.end()) {
      std::string known;
      for (const auto& [option, unused] : setters) known += (known.empty() ? "" : ", ") + option;
      return bad_url("unknown option " + (key.empty() ? "without a name" : key) + " (there are " + known + ")");
    }
    if (!seen.insert(key).second) return bad_url("option " + key + " is given twice");
    const std::string value = param.value.decode();
    if (const std::string wrong = setter->second(value); !wrong.empty()) return bad_url(key + "=" + value + wrong);
  }
  return {};
}

}    // namespace

Result<Options, OpenError> parse_options(std::string_view rest) {
  if (const auto hash = rest.find('#'); hash != rest.npos) {
    return bad_url("fragment " + std::string(rest.substr(hash)) + ": leave it out, or write %23 for '#'");
  }
  Options options;
  const auto question = rest.find('?');
  auto name = parse_name(rest.substr(0, question));
  if (!name) return name.error();
  options.name = *std::move(name);
  if (question != rest.npos && question + 1 != rest.size()) {
    if (const auto parsed = parse_query(std::string(rest.substr(question + 1)), options); !parsed)
      return parsed.error();
  }
  return options;
}

bool is_segment_name(std::string_view name) {
  constexpr std::string_view kForbidden("/\0", 2);
  return !name.empty() && name.size() <= 255 && name.find_first_of(kForbidden) == name.npos && name != "." &&
         name != "..";
}

}    // namespace keyrack::shm
