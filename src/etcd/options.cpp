// What an etcd:// URL asks for: HOST:PORT[,HOST:PORT…]/PREFIX, then options as a query.
#include "etcd/options.hpp"

#include "query.hpp"

#include <boost/url/url_view.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace keyrack::etcd {
namespace {

using url::bad_url;

url::Setter text_to(std::string& target) {
  return [&target](std::string_view value) -> std::string {
    if (value.empty() || value.find('\0') != value.npos) return ": must be a text";
    target = value;
    return {};
  };
}

url::Setter span_to(nanoseconds& target, nanoseconds least, nanoseconds most) {
  return [&target, least, most](std::string_view value) -> std::string {
    std::optional<nanoseconds> span;
    if (std::string wrong = url::duration_to(span)(value); !wrong.empty()) return wrong;
    if (!span || *span < least || *span > most) return ": too short or too long";
    target = *span;
    return {};
  };
}

Result<std::vector<std::string>, OpenError> parse_endpoints(std::string_view text) {
  std::vector<std::string> endpoints;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string endpoint(text.substr(begin, end - begin));
    if (endpoint.find('@') != endpoint.npos) {
      return bad_url("endpoint " + endpoint.substr(endpoint.rfind('@') + 1) +
                     ": give user and password as options of these names, not before it");
    }
    const std::string as_url = "http://" + endpoint;    // outlives the view
    boost::urls::url_view parsed;
    try {
      parsed = boost::urls::url_view(as_url);
    } catch (const std::exception&) {
      return bad_url("endpoint " + endpoint + ": write HOST:PORT, several with commas between");
    }
    std::uint16_t port = 0;
    const std::string digits(parsed.port());
    const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (parsed.encoded_host().empty() || error != std::errc{} || port == 0) {
      return bad_url("endpoint " + endpoint + ": write HOST:PORT, several with commas between");
    }
    endpoints.push_back(endpoint);
    begin = end + 1;
  }
  return endpoints;
}

/// What keys begin with below a prefix. A longer prefix that went on so would have keys of a shorter one.
bool begins_our_keys(std::string_view part) {
  constexpr std::array kTaken{"lock", "name", "reset", "void", "waiter"};
  return std::find(kTaken.begin(), kTaken.end(), part) != kTaken.end();
}

Result<std::string, OpenError> parse_prefix(std::string_view path) {
  std::string prefix;
  while (!path.empty()) {
    const std::string_view segment = path.substr(0, path.find('/'));
    const auto decoded = url::decode_name(segment, "prefix");
    if (!decoded) return decoded.error();
    if (decoded->empty() || decoded->find('\0') != decoded->npos) {
      return bad_url("prefix " + std::string(path) + ": has an empty part, or a NUL inside");
    }
    if (!prefix.empty() && begins_our_keys(*decoded)) {
      return bad_url("prefix " + prefix + *decoded + ": its part " + *decoded + " is what keys of " +
                     prefix.substr(0, prefix.size() - 1) + " go on with");
    }
    prefix += *decoded + '/';
    path.remove_prefix(segment.size());
    if (!path.empty()) path.remove_prefix(1);    // the slash; one at the end may be there or not
  }
  if (prefix.empty()) return bad_url("no prefix (write etcd://HOST:PORT/PREFIX)");
  return prefix;
}

}    // namespace

Result<Options, OpenError> parse_options(std::string_view rest) {
  constexpr nanoseconds kMs = std::chrono::milliseconds(1), kHour = std::chrono::hours(1);
  Options options;
  Access& access = options.access;
  std::optional<std::uint32_t> max_signature, max_signee;
  const auto place = url::parse_options(rest, {
                                                  {"ca", text_to(access.ca)},
                                                  {"cert", text_to(access.cert)},
                                                  {"key", text_to(access.key)},
                                                  {"tls", url::flag_to(access.tls)},
                                                  {"user", text_to(access.user)},
                                                  {"password", text_to(access.password)},
                                                  {"timeout", span_to(options.timeout, 10 * kMs, kHour)},
                                                  {"session_ttl", span_to(options.session_ttl, 1000 * kMs, 24 * kHour)},
                                                  {"clock_error", span_to(options.clock_error, nanoseconds(0), kHour)},
                                                  {"max_signature", url::number_to(max_signature, 4096)},
                                                  {"max_signee", url::number_to(max_signee, 4096)},
                                                  {"duration", url::duration_to(options.duration)},
                                                  {"time_to_live", url::duration_to(options.time_to_live)},
                                                  {"auto_release_after", url::duration_to(options.auto_release_after)},
                                              });
  if (!place) return place.error();
  const std::size_t slash = std::min(place->find('/'), place->size());
  auto endpoints = parse_endpoints(place->substr(0, slash));
  if (!endpoints) return endpoints.error();
  auto prefix = parse_prefix(place->substr(std::min(slash + 1, place->size())));
  if (!prefix) return prefix.error();
  if (access.cert.empty() != access.key.empty()) return bad_url("cert and key: give both or none");
  if (access.user.empty() != access.password.empty()) return bad_url("user and password: give both or none");
  access.endpoints = *std::move(endpoints);
  access.tls = access.tls || !access.ca.empty() || !access.cert.empty();
  options.prefix = *std::move(prefix);
  options.max_signature = max_signature.value_or(options.max_signature);
  options.max_signee = max_signee.value_or(options.max_signee);
  return options;
}

}    // namespace keyrack::etcd
