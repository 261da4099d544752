// Fuzz target: URLs and durations, as they come from users.
#include "target.hpp"

#include "duration.hpp"
#include "shm/options.hpp"

#include <keyrack/keyrack.hpp>

#include <string_view>

using keyrack::Errc;

namespace {

/// Answers fuzz://REST by reading it as shm:// would, and opens nothing.
void register_reader() {
  keyrack::register_backend({.protocol = "fuzz",
                             .description = "reads URLs",
                             .open_lock_service = [](std::string_view rest) -> keyrack::Opened<keyrack::LockService> {
                               const auto options = keyrack::shm::parse_options(rest);
                               if (!options) return options.error();
                               return keyrack::OpenError{Errc::no_segment, options->name};
                             },
                             .open_name_manager = {}});
}

void try_options(std::string_view text) {
  const auto options = keyrack::shm::parse_options(text);
  if (!options) {
    require(options.error().code == Errc::bad_url && !options.error().detail.empty(), "a refusal says why");
#if defined(KEYRACK_FUZZ_PLANTED)
    require(options.error().detail.find("option mode is given twice") == std::string::npos, "planted");
#endif
    return;
  }
  require(keyrack::shm::is_segment_name(options->name), "the name is one that a segment can have");
  require(options->mode <= 0777, "the mode is one");
  const auto& g = options->geometry;
  require(g.slots.value_or(1) >= 1 && g.slots.value_or(1) <= 15'000'000, "slots are in range");
  require(g.sessions.value_or(1) >= 1 && g.sessions.value_or(1) <= 65'535, "sessions are in range");
  require(g.max_signature.value_or(1) >= 1 && g.max_signature.value_or(1) <= 4096, "max_signature is in range");
  require(g.max_signee.value_or(1) >= 1 && g.max_signee.value_or(1) <= 4096, "max_signee is in range");
}

/// What lies behind a view is none of the reader's business.
void try_what_follows(std::string_view text) {
  const std::string longer = std::string(text) + "7&mode=0601";
  const auto alone = keyrack::shm::parse_options(std::string(text));
  const auto within = keyrack::shm::parse_options(std::string_view(longer).substr(0, text.size()));
  require(alone.has_value() == within.has_value(), "what follows makes no difference");
  if (alone) {
    require(alone->mode == within->mode && alone->geometry.slots == within->geometry.slots, "nor to the options");
  }
}

void try_duration(std::string_view text) {
  const auto duration = keyrack::parse_duration(text);
  if (!duration) return;
  require(duration->count() >= 0, "a duration is not negative");
  require(keyrack::parse_duration(keyrack::format_duration(*duration)) == duration, "it is read as it is written");
}

void try_url(std::string_view text) {
  constexpr std::string_view kReal = "shm://";
  const std::string url =
      text.starts_with(kReal) ? "fuzz://" + std::string(text.substr(kReal.size())) : std::string(text);
  for (const keyrack::OpenError& error :
       {keyrack::open_lock_service(url).error(), keyrack::open_name_manager(url).error()}) {
    require(error.code == Errc::bad_url || error.code == Errc::unknown_backend || error.code == Errc::no_segment,
            "the kind of the error");
    require(!error.message().empty(), "and its text");
  }
}

}    // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  [[maybe_unused]] static const bool registered = (register_reader(), true);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view rest = text.starts_with("shm://") ? text.substr(6) : text;
  try_options(rest);
  try_what_follows(rest);
  try_duration(text);
  try_url(text);
  return 0;
}
