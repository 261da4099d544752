// keyrack create, ls, rm, backends: what can be opened.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "services.hpp"
#include "words.hpp"

#include <algorithm>
#include <utility>

namespace keyrack::command {
namespace {

struct CreateOptions {};

struct ListSegmentsOptions {
  std::string format;
};

struct RemoveOptions {
  std::vector<std::string> names;
};

struct BackendsOptions {};

int create(const CommandLine& line, const CreateOptions&) {
  int status = kDone;
  const auto segment = segment_of(line, "create", status);
  if (!segment) return status;
  const bool existed = open_inspector(segment->name).has_value();
  const auto service = open_locks(line, status);
  if (!service) return status;
  const auto inspector = open_inspector_of(line, "create", status);
  if (!inspector) return status;
  const auto snapshot = inspector->snapshot();
  if (!snapshot) return fail(line, line.url, snapshot.error());
  const SegmentPicture& made = snapshot->segment;
  Output output;
  output.print("{} {}: {} slots, {} sessions, max_signature {}, max_signee {}, {}\n",
               existed ? "there is already" : "created", printable(made.name), made.slots, made.session_slots,
               made.max_signature, made.max_signee, people_bytes(made.bytes));
  return output.finish();
}

int list_segments(const CommandLine& line, const ListSegmentsOptions& options) {
  int status = kDone;
  if (!require_segments(line, "ls", status)) return status;
  const auto files = keyrack::list_segments();
  if (!files) return fail(line, "segments", files.error());
  Output output;
  Json json(output);
  Table table({{"SEGMENT"},
               {"SLOTS", true},
               {"USED", true},
               {"SESSIONS", true},
               {"SIZE", true},
               {"UID", true},
               {"MODE", true},
               {"NOTE"}});
  const bool as_json = options.format == "json";
  if (as_json) json.begin_array();
  for (const SegmentFile& file : *files) {
    // A segment that cannot be looked into is listed all the same, with the reason.
    std::string note;
    std::optional<SegmentPicture> picture;
    if (const auto inspector = open_inspector(file.name); !inspector) {
      note = inspector.error().message();
    } else if (const auto snapshot = (*inspector)->snapshot(); !snapshot) {
      note = snapshot.error().message();
    } else {
      picture = snapshot->segment;
    }
    const auto figure = [&](std::uint32_t SegmentPicture::*value) {
      return picture ? std::optional((*picture).*value) : std::nullopt;
    };
    const std::string mode = fmt::format("{:04o}", file.mode);
    if (as_json) {
      json.begin_object()
          .member("name", file.name)
          .member("slots", figure(&SegmentPicture::slots))
          .member("used", figure(&SegmentPicture::used))
          .member("sessions", figure(&SegmentPicture::sessions))
          .member("bytes", file.bytes)
          .member("uid", file.uid)
          .member("mode", mode)
          .member("note", note)
          .end_object();
    } else {
      table.cell(file.name);
      for (const auto value : {&SegmentPicture::slots, &SegmentPicture::used, &SegmentPicture::sessions}) {
        table.cell(picture ? std::to_string((*picture).*value) : "");
      }
      table.cell(people_bytes(file.bytes));
      table.cell(file.uid);
      table.cell(mode);
      table.cell(note, Colour::red);
    }
  }
  if (as_json) {
    json.end_array();
    output.print("\n");
  } else {
    table.write(output);
  }
  return output.finish();
}

int remove(const CommandLine& line, const RemoveOptions& options) {
  int status = kDone;
  if (!require_segments(line, "rm", status)) return status;
  for (const std::string& word : line.words) {    // the parser takes such a word apart, and others would be removed
    if (word.starts_with('[') && word.ends_with(']')) {
      return complain(kUsage, "{}: give a segment of such a name by its URL, with %5B and %5D", word);
    }
  }
  std::vector<std::string> names = options.names;
  if (names.empty()) {
    const auto segment = segment_of(line, "rm", status);
    if (!segment) return status;
    names.push_back(segment->name);
  }
  for (const std::string& name : names) {
    const auto removed = remove_segment(name);
    if (removed) continue;
    const int failed = removed.error() == Errc::no_segment
                           ? complain(kNotGranted, "{}: no such segment; keyrack ls lists those there are", name)
                           : fail(line, name, removed.error());
    status = std::max(status, failed);
  }
  return status;
}

int list_backends(const CommandLine&, const BackendsOptions&) {
  Output output;
  for (const Backend& backend : backends()) output.print("{}: {}\n", backend.protocol, backend.description);
  return output.finish();
}

}    // namespace

void add_segments(CommandLine& line) {
  add_command("create", "make the segment of the URL, where there is none",
              "keyrack create --url 'shm://orders?slots=1000000&mode=0660'", line, create);
  {
    auto [command, options] =
        add_command("ls", "the segments of this host that can be read", "keyrack ls", line, list_segments);
    command.add_format(options->format, {"table", "json"});
  }
  {
    auto [command, options] = add_command("rm", "remove segments: gone for new openers, the attached keep theirs",
                                          "keyrack rm orders", line, remove);
    command.add("NAME", options->names, "segments, else the URL's");
  }
  add_command("backends", "what URLs can begin with", "keyrack backends", line, list_backends);
}

}    // namespace keyrack::command
