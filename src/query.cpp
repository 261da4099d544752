#include "query.hpp"

#include "duration.hpp"

#include <boost/url/encode.hpp>
#include <boost/url/grammar/lut_chars.hpp>
#include <boost/url/parse_query.hpp>
#include <boost/url/rfc/pchars.hpp>
#include <boost/url/rfc/sub_delim_chars.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

#include <algorithm>
#include <charconv>
#include <set>

namespace keyrack::url {
namespace {

namespace urls = boost::urls;

constexpr auto kNameChars = urls::unreserved_chars + urls::sub_delim_chars + '%';
constexpr auto kQueryChars = urls::pchars + '/' + '?' + '%';

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

/// A string, not a view: Boost 1.81 reads on to the next NUL, which need not be the end of what is asked for.
Result<void, OpenError> parse_query(const std::string& query, const Setters& setters) {
  if (const auto legal = require_url_chars(query, kQueryChars, "options"); !legal) return legal.error();
  const auto params = urls::parse_query(query);
  if (!params) {
    return bad_url("options " + without_password("?" + query).substr(1) +
                   ": '%' must be followed by two hexadecimal digits");
  }
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
    const std::string wrong = setter->second(value);
    if (!wrong.empty()) return bad_url(without_password("?" + key + "=" + value).substr(1) + wrong);
  }
  return {};
}

}    // namespace

OpenError bad_url(std::string detail) { return {Errc::bad_url, std::move(detail)}; }

std::string without_password(std::string_view url) {
  constexpr std::string_view kHidden = "***", kOption = "password=";
  std::string shown(url);
  const auto options = shown.find('?');
  for (auto at = options; at != shown.npos && (at = shown.find(kOption, at)) != shown.npos;) {
    at += kOption.size();
    shown.replace(at, std::min(shown.find('&', at), shown.size()) - at, kHidden);
  }
  // USER:PASSWORD@ is none of keyrack's ways to say it, but a usual one.
  const auto protocol = shown.find("://");
  if (protocol == shown.npos) return shown;
  const auto colon = shown.find(':', protocol + 3), host = shown.rfind('@', options);
  if (host != shown.npos && colon < host) shown.replace(colon + 1, host - colon - 1, kHidden);
  return shown;
}

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

Result<std::string, OpenError> decode_name(std::string_view encoded, std::string_view where) {
  if (const auto legal = require_url_chars(encoded, kNameChars, where); !legal) return legal.error();
  const auto name = urls::make_pct_string_view(encoded);
  if (name) return name->decode();
  return bad_url(std::string(where).append(1, ' ').append(encoded) +
                 ": '%' must be followed by two hexadecimal digits");
}

Result<std::string_view, OpenError> parse_options(std::string_view rest, const Setters& setters) {
  if (const auto hash = rest.find('#'); hash != rest.npos) {
    const bool secret = rest.find("password=") < hash;
    return bad_url("fragment " + (secret ? "#***" : std::string(rest.substr(hash))) +
                   ": leave it out, or write %23 for '#'");
  }
  const auto question = rest.find('?');
  if (question != rest.npos && question + 1 != rest.size()) {
    const auto parsed = parse_query(std::string(rest.substr(question + 1)), setters);
    if (!parsed) return parsed.error();
  }
  return rest.substr(0, question);
}

}    // namespace keyrack::url
