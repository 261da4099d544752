// keyrack dump in all its formats, stats and verify.
#include "harness.hpp"
#include "schema.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace keyrack::command_test {
namespace {

using nlohmann::json;

class Dump : public CommandTest {
 protected:
  /// Something of everything: held, stale, abandoned and idle locks, a free and a taken name.
  void fill() {
    ASSERT_EQ(keyrack({"create", "--url", url("?slots=100&sessions=8")}).status, 0);
    ASSERT_EQ(keyrack({"lock", "job/42", "--signee", "worker-7", "--level", "-2"}).status, 0);
    ASSERT_EQ(keyrack({"lock", "job/leased", "--signee", "worker-7", "--duration", "1h"}).status, 0);
    ASSERT_EQ(keyrack({"lock", "stale", "--signee", "worker-8", "--duration", "-5s"}).status, 0);
    ASSERT_EQ(keyrack({"lock", "idle", "--signee", "worker-9"}).status, 0);
    ASSERT_EQ(keyrack({"unlock", "idle", "--signee", "worker-9"}).status, 0);
    ASSERT_EQ(keyrack({"acquire", "stack"}).status, 0);
    ASSERT_EQ(keyrack({"acquire", "stack"}).status, 0);
    ASSERT_EQ(keyrack({"release", "stack", "0"}).status, 0);

    Process victim = start({"run", "abandoned", "--signee", "victim", "--", "sh", "-c", "echo ready; exec cat"});
    ASSERT_TRUE(eventually([&] { return victim.out() == "ready\n"; })) << victim.err();
    victim.signal(SIGKILL);
    ASSERT_EQ(victim.wait(), 128 + SIGKILL);
  }

  /// The locks by key, the names by FAMILY/NAME.
  std::map<std::string, json> records(Words more = {}) const {
    more.insert(more.begin(), "dump");
    const json all = keyrack_json(std::move(more));
    std::map<std::string, json> found;
    for (const json& lock : all.at("locks")) found[lock.at("signature")] = lock;
    for (const json& name : all.at("names")) {
      found[name.at("family").get<std::string>() + "/" + name.at("name").get<std::string>()] = name;
    }
    return found;
  }

  std::vector<std::string> keys(Words more = {}) const {
    std::vector<std::string> result;
    for (const auto& [key, record] : records(std::move(more))) result.push_back(key);
    return result;
  }
};

TEST_F(Dump, JsonHasEveryRecord) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const auto found = records();
  ASSERT_EQ(keys(), (std::vector<std::string>{"abandoned", "job/42", "job/leased", "stack/0", "stack/1", "stale"}));

  const json& held = found.at("job/42");
  EXPECT_EQ(held.at("signee"), "worker-7");
  EXPECT_EQ(held.at("level"), -2);
  EXPECT_EQ(held.at("state"), "held");
  EXPECT_EQ(held.at("lifetime"), "lease");
  EXPECT_GE(held.at("token"), 1);
  EXPECT_GT(held.at("pid"), 0);
  EXPECT_GE(held.at("held_for_ms"), 0);
  EXPECT_TRUE(held.at("expires_in_ms").is_null());
  EXPECT_EQ(held.at("waiters"), 0);
  EXPECT_GT(found.at("job/leased").at("expires_in_ms"), 0);
  EXPECT_EQ(found.at("stale").at("state"), "stale");
  EXPECT_LT(found.at("stale").at("expires_in_ms"), 0);
  EXPECT_EQ(found.at("abandoned").at("state"), "abandoned");
  EXPECT_EQ(found.at("abandoned").at("lifetime"), "process");
  EXPECT_TRUE(found.at("stack/0").at("free"));
  EXPECT_TRUE(found.at("stack/0").at("updated_at").is_null());
  EXPECT_FALSE(found.at("stack/1").at("free"));
  EXPECT_TRUE(found.at("stack/1").at("updated_at").get<std::string>().ends_with("Z"));
}

TEST_F(Dump, JsonTellsAboutTheSegmentAndItsSessions) {
  ASSERT_EQ(keyrack({"create", "--url", url("?slots=100&sessions=8")}).status, 0);
  Process holder = start({"run", "a", "--signee", "me", "--", "sh", "-c", "echo ready; exec cat"});
  ASSERT_TRUE(eventually([&] { return holder.out() == "ready\n"; })) << holder.err();
  Process waiter = start({"run", "a", "--signee", "next", "--", "true"});
  ASSERT_TRUE(eventually([&] { return keyrack_json({"dump"}).at("waiters").size() == 1; }));

  const json all = keyrack_json({"dump"});
  EXPECT_EQ(all.at("segment").at("name"), segment());
  EXPECT_EQ(all.at("segment").at("layout_version"), 1);
  EXPECT_EQ(all.at("segment").at("slots"), 100);
  EXPECT_EQ(all.at("segment").at("used"), 1);
  EXPECT_EQ(all.at("segment").at("sessions"), 2);
  ASSERT_EQ(all.at("sessions").size(), 2);
  const auto& sessions = all.at("sessions");
  const auto session = std::find_if(sessions.begin(), sessions.end(),
                                    [&](const json& candidate) { return candidate.at("pid") == holder.pid(); });
  ASSERT_NE(session, sessions.end());
  EXPECT_TRUE(session->at("alive"));
  EXPECT_EQ(session->at("command"), "keyrack");
  EXPECT_EQ(session->at("locks_held"), 1);
  EXPECT_EQ(all.at("locks").at(0).at("waiters"), 1);
  EXPECT_EQ(all.at("waiters").at(0).at("signature"), "a");
  EXPECT_EQ(all.at("waiters").at(0).at("signee"), "next");
  EXPECT_EQ(all.at("waiters").at(0).at("pid"), waiter.pid());
  EXPECT_GE(all.at("counters").at("inserts"), 1);
}

TEST_F(Dump, FilterHeldAndAll) {
  ASSERT_NO_FATAL_FAILURE(fill());
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys({"--filter", "job/*"}), (Keys{"job/42", "job/leased"}));
  EXPECT_EQ(keys({"--filter", "s*"}), (Keys{"stack/0", "stack/1", "stale"}));
  EXPECT_EQ(keys({"--filter", "*/[1]"}), (Keys{"stack/1"}));
  EXPECT_EQ(keys({"--filter", ""}), Keys{});
  EXPECT_EQ(keys({"--held"}), (Keys{"job/42", "job/leased", "stack/1"}));
  EXPECT_EQ(keys({"--held", "--filter", "stack/?"}), (Keys{"stack/1"}));
  EXPECT_EQ(records({"--all"}).at("idle").at("state"), "idle");
  EXPECT_FALSE(records().contains("idle"));
  ASSERT_EQ(keyrack({"lock", "caf\xc3\xa9", "--signee", "me"}).status, 0);
  EXPECT_EQ(keys({"--filter", "caf?"}), (Keys{"caf\xc3\xa9"})) << "characters, not bytes";
  ASSERT_EQ(keyrack({"lock", "caf\xff\xfe", "--signee", "me"}).status, 0);
  EXPECT_EQ(keys({"--filter", "ca*"}), (Keys{"caf\\xff\\xfe", "caf\xc3\xa9"})) << "whatever bytes follow";
}

TEST_F(Dump, StaleWaitingAndTheirUnions) {
  ASSERT_NO_FATAL_FAILURE(fill());
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys({"--stale"}), (Keys{"abandoned", "stale"}));
  EXPECT_EQ(keys({"--held", "--stale"}), (Keys{"abandoned", "job/42", "job/leased", "stack/1", "stale"}));
  EXPECT_EQ(keys({"--waiting"}), Keys{});
  Process waiter = start({"lock", "job/42", "--signee", "next", "--level", "-2", "--wait", "1h"});
  ASSERT_TRUE(eventually([&] { return keys({"--waiting"}) == Keys{"job/42"}; })) << waiter.err();
  EXPECT_EQ(keys({"--waiting", "--stale"}), (Keys{"abandoned", "job/42", "stale"}));
  EXPECT_EQ(keys({"--waiting", "--filter", "s*"}), Keys{});
  waiter.signal(SIGSTOP);
  ASSERT_EQ(keyrack({"unlock", "job/42", "--signee", "worker-7"}).status, 0);
  EXPECT_EQ(records({"--waiting"}).at("job/42").at("state"), "idle") << "nobody holds it, and somebody waits";
  EXPECT_EQ(keyrack_json({"dump"}).at("waiters").at(0).at("signature"), "job/42");
}

/// The words of the lines, from the first one that begins with `title` on to the next blank line.
std::vector<std::vector<std::string>> table_of(const std::string& text, const std::string& title) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (rows.empty() && !line.starts_with(title)) continue;
    if (line.empty()) break;
    std::istringstream words(line);
    rows.emplace_back(std::istream_iterator<std::string>(words), std::istream_iterator<std::string>());
  }
  return rows;
}

TEST_F(Dump, ColumnsInTheOrderThatIsAskedFor) {
  ASSERT_NO_FATAL_FAILURE(fill());
  using Rows = std::vector<std::vector<std::string>>;
  const Ended table = keyrack({"dump", "--held", "--columns", "signee,signature,family"});
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_EQ(table_of(table.out, "SIGNEE"),
            (Rows{{"SIGNEE", "LOCK"}, {"worker-7", "job/42"}, {"worker-7", "job/leased"}}));
  EXPECT_EQ(table_of(table.out, "FAMILY"), (Rows{{"FAMILY"}, {"stack"}}));
  EXPECT_FALSE(contains(table.out, "SESSION")) << "it has none of these columns";
  const Ended csv = keyrack({"dump", "--format", "csv", "--columns", "token,signature,kind", "--filter", "job/42"});
  EXPECT_EQ(csv.out, "token,signature,kind\n2,job/42,lock\n");
  const Ended locks = keyrack({"dump", "--format", "csv", "--columns", "signature,level", "--filter", "job/42"});
  EXPECT_EQ(locks.out, "signature,level\njob/42,-2\n");
}

TEST_F(Dump, Sorted) {
  for (const auto& [key, signee, lease] :
       std::vector<std::array<std::string, 3>>{{"a", "x", "2h"}, {"b", "z", "1h"}, {"c", "y", ""}, {"d", "w", "3h"}}) {
    Words words = {"lock", key, "--signee", signee};
    if (!lease.empty()) words.insert(words.end(), {"--duration", lease});
    ASSERT_EQ(keyrack(words).status, 0);
  }
  for (int i = 0; i < 11; ++i) ASSERT_EQ(keyrack({"acquire", "f"}).status, 0);
  const auto order = [&](const std::string& by, const std::string& kind, const std::string& name) {
    std::string text;
    const json all = keyrack_json({"dump", "--sort", by});
    for (const json& record : all.at(kind)) text += record.at(name).get<std::string>();
    return text;
  };
  EXPECT_EQ(order("signature", "locks", "signature"), "abcd");
  EXPECT_EQ(order("signature,desc", "locks", "signature"), "dcba");
  EXPECT_EQ(order("signee", "locks", "signature"), "dacb");
  EXPECT_EQ(order("expires_in_ms", "locks", "signature"), "badc") << "without a lease last";
  EXPECT_EQ(order("expires_in_ms,desc", "locks", "signature"), "dabc") << "without a lease last";
  EXPECT_EQ(order("name,desc", "names", "name"), "109876543210");
  const auto rows = table_of(keyrack({"dump", "--columns", "signature", "--sort", "signee,desc"}).out, "LOCK");
  EXPECT_EQ(rows, (std::vector<std::vector<std::string>>{{"LOCK"}, {"b"}, {"c"}, {"a"}, {"d"}}));
}

TEST_F(Dump, OutputThatIsNoTerminalIsNeverCut) {
  const std::string key(128, 'k'), signee(64, 's');
  ASSERT_EQ(keyrack({"lock", key, "--signee", signee}).status, 0);
  Process narrow({"env", "COLUMNS=40", KEYRACK_COMMAND, "dump"}, url());
  EXPECT_EQ(narrow.wait(), 0);
  EXPECT_TRUE(contains(narrow.out(), key));
  EXPECT_TRUE(contains(narrow.out(), signee));
}

TEST_F(Dump, JsonFollowsItsSchema) {
  ASSERT_NO_FATAL_FAILURE(fill());
  Process holder = start({"hold", "held"});
  ASSERT_TRUE(eventually([&] { return holder.out() == "0\n"; })) << holder.err();
  Process waiter = start({"lock", "job/42", "--signee", "n\xff", "--level", "-2", "--wait", "1h"});
  ASSERT_TRUE(eventually([&] { return keyrack_json({"dump"}).at("waiters").size() == 1; })) << waiter.err();
  const json all = keyrack_json({"dump", "--all"});
  for (const std::string kind : {"locks", "names", "sessions", "waiters"}) ASSERT_FALSE(all.at(kind).empty()) << kind;

  expect_schema("dump", {all},
                {{"/locks/0/state", "free"},
                 {"/locks/0/lifetime", "eternal"},
                 {"/locks/0/token", -1},
                 {"/locks/0/held_for_ms", 0.5},
                 {"/segment/created_at", "yesterday"}});
}

TEST_F(Dump, TableIsForPeople) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const Ended table = keyrack({"dump"});
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_TRUE(table.out.starts_with(segment() + ": ")) << table.out;
  for (const char* part : {"job/42", "worker-7", "stale", "abandoned", "FAMILY", "stack"}) {
    EXPECT_TRUE(contains(table.out, part)) << part;
  }
  EXPECT_FALSE(contains(table.out, "\033")) << "colours only on a terminal";
  EXPECT_FALSE(contains(table.out, "worker-9"));
}

std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::string& field = rows.back().back();
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += text[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      rows.back().emplace_back();
    } else if (c == '\n') {
      rows.push_back({""});
    } else {
      field += c;
    }
  }
  rows.pop_back();    // after the last newline
  return rows;
}

TEST_F(Dump, CsvKeepsEveryField) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const std::string odd = "a,\"b\"\nc";
  ASSERT_EQ(keyrack({"lock", odd, "--signee", "x,y"}).status, 0);
  const Ended ended = keyrack({"dump", "--format", "csv"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  const auto rows = parse_csv(ended.out);
  const auto& head = rows.at(0);
  EXPECT_EQ(head.at(0), "kind");
  const auto column = [&](const std::string& name) {
    return static_cast<std::size_t>(std::find(head.begin(), head.end(), name) - head.begin());
  };
  std::map<std::string, int> kinds;
  bool found_odd = false, found_leased = false, found_name = false;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i].size(), head.size()) << i;
    ++kinds[rows[i][0]];
    const auto is = [&](const std::string& name, const std::string& value) {
      return rows[i].at(column(name)) == value;
    };
    if (is("signature", odd)) found_odd = is("signee", "x,y") && is("state", "held") && is("lifetime", "lease");
    if (is("signature", "job/leased")) found_leased = std::stoi(rows[i].at(column("expires_in_ms"))) > 0;
    if (is("family", "stack") && is("name", "1")) found_name = is("state", "held") && !is("updated_at", "");
  }
  EXPECT_TRUE(found_odd && found_leased && found_name) << ended.out;
  EXPECT_EQ(kinds["lock"], 5);
  EXPECT_EQ(kinds["name"], 2);
}

TEST_F(Dump, OpenMetrics) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const Ended ended = keyrack({"dump", "--format", "openmetrics", "--all"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_TRUE(ended.out.ends_with("\n# EOF\n"));
  const std::string label = "segment=\"" + segment() + "\"";
  const std::vector<std::string> expected = {
      "# TYPE keyrack_slots gauge",
      "keyrack_slots{" + label + "} 100",
      "keyrack_locks{" + label + ",state=\"held\"} 2",
      "keyrack_locks{" + label + ",state=\"stale\"} 1",
      "keyrack_locks{" + label + ",state=\"abandoned\"} 1",
      "keyrack_locks{" + label + ",state=\"idle\"} 1",
      "keyrack_names{" + label + ",state=\"held\"} 1",
      "keyrack_names{" + label + ",state=\"free\"} 1",
      "keyrack_waiters{" + label + "} 0",
      "# TYPE keyrack_inserts counter",
      "keyrack_slots_high_water{" + label + "} 7",
      "keyrack_transfers_total{" + label + ",cause=\"forced\"} 0",
      "keyrack_holding_seconds_bucket{" + label + ",le=\"0.001024\"} ",
  };
  for (const std::string& line : expected) {
    EXPECT_TRUE(contains("\n" + ended.out, "\n" + line + (line.ends_with(' ') ? "" : "\n"))) << line;
  }

  // Every sample belongs to the family that was announced last, with an ending that its type has.
  const std::map<std::string, std::vector<std::string>> endings = {
      {"gauge", {""}}, {"counter", {"_total"}}, {"histogram", {"_bucket", "_count", "_sum"}}};
  std::istringstream lines(ended.out);
  std::string name, kind;
  int samples = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      std::istringstream(line.substr(7)) >> name >> kind;
    } else if (!line.starts_with("#")) {
      ++samples;
      const auto& known = endings.at(kind);
      EXPECT_TRUE(std::any_of(known.begin(), known.end(), [&](const std::string& ending) {
        return line.starts_with(name + ending + "{");
      })) << line;
    }
  }
  EXPECT_GE(samples, 18);
}

TEST_F(Dump, EveryFormatBearsEveryByte) {
  std::string all_bytes;
  for (int byte = 1; byte < 128; ++byte) all_bytes += static_cast<char>(byte);
  const std::string broken = "caf\xc3\xa9 \xff\xc3 \xed\xa0\x80 \xf0\x9f\x94\x91";
  ASSERT_EQ(keyrack({"lock", all_bytes, "--signee", "me"}).status, 0);
  ASSERT_EQ(keyrack({"lock", broken, "--signee", "me"}).status, 0);
  const auto found = records();
  EXPECT_TRUE(found.contains(all_bytes));
  EXPECT_TRUE(found.contains("caf\xc3\xa9 \\xff\\xc3 \\xed\\xa0\\x80 \xf0\x9f\x94\x91")) << json(found).dump();
  for (const std::string format : {"table", "csv", "openmetrics"}) {
    const Ended ended = keyrack({"dump", "--format", format});
    EXPECT_EQ(ended.status, 0);
    EXPECT_NO_THROW((void)json(ended.out).dump()) << format << " is not UTF-8";
  }
  const Ended table = keyrack({"dump"});
  const bool controls = std::any_of(table.out.begin(), table.out.end(),
                                    [](char c) { return (c >= 0 && c < ' ' && c != '\n') || c == 0x7f; });
  EXPECT_FALSE(controls) << table.out;
}

TEST_F(Dump, WithoutASegmentItFails) {
  for (const std::string command : {"dump", "stats", "verify", "top", "waits"}) {
    const Ended ended = keyrack({command});
    EXPECT_EQ(ended.status, 3) << command;
    EXPECT_TRUE(is_one_error_line(ended.err));
    EXPECT_TRUE(contains(ended.err, segment())) << ended.err;
  }
}

TEST_F(Dump, StatsCount) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const auto figures = keyrack_json({"stats"});
  EXPECT_EQ(figures.at("slots"), 100);
  EXPECT_GE(figures.at("inserts"), 5);
  expect_schema("stats", {figures}, {{"/slots", -1}, {"/waiting_us/counts/3", "many"}});
  const Ended text = keyrack({"stats"});
  for (const auto& [name, value] : figures.items()) {
    EXPECT_TRUE(contains("\n" + text.out, "\n" + name + (value.is_object() ? "_p99 " : " "))) << name;
  }
  EXPECT_EQ(figures.at("high_water"), 7);
  EXPECT_GE(figures.at("grants"), 4);
  EXPECT_EQ(figures.at("lendings"), 2);
  EXPECT_EQ(figures.at("waiting_us").at("counts").size(), 28u);
  ASSERT_EQ(keyrack({"lock", "job/leased", "--signee", "other"}).status, 1);
  EXPECT_EQ(keyrack_json({"stats"}).at("refusals"), figures.at("refusals").get<int>() + 1);
}

TEST_F(Dump, VerifyFindsNothingInASoundSegment) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const Ended ended = keyrack({"verify"});
  EXPECT_EQ(ended.status, 0) << ended.out << ended.err;
  EXPECT_TRUE(ended.out.starts_with("5 records, 2 names, ")) << ended.out;
  EXPECT_TRUE(ended.out.ends_with(" sessions: every invariant holds\n")) << ended.out;
}

/// Puts ~ into each byte of the file where `part` is found, and leaves all else.
void spoil(const std::filesystem::path& file, const std::string& part) {
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(bytes), {}};
  for (auto at = all.find(part); at != std::string::npos; at = all.find(part, at + 1)) {
    bytes.clear();
    bytes.seekp(static_cast<std::streamoff>(at));
    bytes << std::string(part.size(), '~');
  }
  ASSERT_TRUE(bytes.flush());
}

TEST_F(Dump, VerifyTellsWhatIsBroken) {
  ASSERT_NO_FATAL_FAILURE(fill());
  spoil("/dev/shm/" + segment(), "job/leased");    // a key that its tag no longer fits
  const Ended ended = keyrack({"verify"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_TRUE(contains(ended.out, " (~~~~~~~~~~): its tag is not that of its key; calls on this key may fail"));
  EXPECT_TRUE(ended.out.starts_with("record ")) << ended.out;
  EXPECT_TRUE(is_one_error_line(ended.err)) << ended.err;
  EXPECT_TRUE(contains(ended.err, "an invariant is broken")) << ended.err;
  const Ended as_json = keyrack({"verify", "--format", "json"});
  EXPECT_EQ(as_json.status, 3);
  const json report = json::parse(as_json.out);
  EXPECT_FALSE(report.at("sound"));
  EXPECT_EQ(report.at("findings").at(0).at("key"), "~~~~~~~~~~");
  expect_schema("verify", {report}, {{"/sound", "no"}});

  const Ended repair = keyrack({"repair"});    // it does what it can, and says what it cannot
  EXPECT_EQ(repair.status, 3);
  EXPECT_TRUE(contains(repair.out, " (~~~~~~~~~~): ")) << repair.out;
  EXPECT_TRUE(contains(repair.err, "an invariant is broken, and only a guess could repair that")) << repair.err;
}

TEST_F(Dump, VerifyTellsOfASegmentThatIsHalfGone) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const std::filesystem::path file = "/dev/shm/" + segment();
  const auto size = std::filesystem::file_size(file);
  {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(static_cast<std::streamoff>(size / 2));
    bytes << std::string(size - size / 2, '\xa5');
    ASSERT_TRUE(bytes.flush());
  }
  const Ended ended = keyrack({"verify"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_NE(ended.out, "");
  EXPECT_TRUE(is_one_error_line(ended.err));
  EXPECT_TRUE(contains(ended.err, "broken")) << ended.err;
  for (const std::string command : {"dump", "stats", "ls", "repair"}) {    // what can be done, or why it cannot
    const int status = keyrack({command}).status;
    EXPECT_TRUE(status == 0 || status == 3) << command << " ends with " << status;
  }
}

TEST_F(Dump, RepairClearsUpAfterTheDead) {
  ASSERT_NO_FATAL_FAILURE(fill());
  Process victim = start({"hold", "gpu"});
  ASSERT_TRUE(eventually([&] { return victim.out() == "0\n"; })) << victim.err();
  victim.signal(SIGKILL);
  ASSERT_EQ(victim.wait(), 128 + SIGKILL);
  const auto dead = [&] {
    const json all = keyrack_json({"dump"});
    return std::count_if(all.at("sessions").begin(), all.at("sessions").end(),
                         [](const json& session) { return !session.at("alive").get<bool>(); });
  };
  ASSERT_EQ(dead(), 1);
  const Ended repair = keyrack({"repair"});
  EXPECT_EQ(repair.status, 0) << repair.err;
  EXPECT_TRUE(contains(repair.out, "(pid " + std::to_string(victim.pid()) + ", keyrack) has died: what it left "));
  EXPECT_EQ(dead(), 0);
  EXPECT_EQ(keyrack({"repair"}).out, "nobody has died without being cleared up after\n");
  EXPECT_EQ(keyrack_json({"verify"}), json::parse(R"({"sound": true, "findings": []})"));
}

}    // namespace
}    // namespace keyrack::command_test
