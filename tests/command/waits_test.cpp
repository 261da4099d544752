// keyrack waits on processes that wait for each other.
#include "harness.hpp"
#include "schema.hpp"

#include <csignal>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace keyrack::command_test {
namespace {

using nlohmann::json;

class Waits : public CommandTest {
 protected:
  Process holds(const std::string& key, const std::string& signee) const {
    Process holder = start({"run", key, "--signee", signee, "--", "sh", "-c", "echo ready; exec cat"});
    EXPECT_TRUE(eventually([&] { return holder.out() == "ready\n"; })) << holder.err();
    return holder;
  }
  Process waits_for(const std::string& key, const std::string& signee) const {
    Process waiter = start({"lock", key, "--signee", signee, "--wait", "1h"});
    EXPECT_TRUE(eventually([&] { return is_waiting(key, signee); })) << waiter.err();
    return waiter;
  }
  bool is_waiting(const std::string& key, const std::string& signee) const {
    const json all = keyrack_json({"dump"});
    for (const json& waiter : all.at("waiters")) {
      if (waiter.at("signature") == key && waiter.at("signee") == signee) return true;
    }
    return false;
  }

  /// What Graphviz makes of the output: its words, and nothing on standard error.
  std::string drawn() const {
    const Ended dot = keyrack({"waits", "--format", "dot"});
    EXPECT_EQ(dot.status, 0) << dot.err;
    Process graphviz({"dot", "-Tplain"}, url());
    graphviz.write(dot.out);
    graphviz.close_input();
    EXPECT_EQ(graphviz.wait(), 0) << dot.out;
    EXPECT_EQ(graphviz.err(), "") << dot.out;
    return graphviz.out();
  }
};

TEST_F(Waits, NobodyIsNoFailure) {
  Process holder = holds("a", "anna");
  const Ended text = keyrack({"waits"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_EQ(text.out, "nobody waits\n");
  EXPECT_EQ(keyrack_json({"waits"}), json::parse(R"({"locks": [], "waiters": [], "cycles": []})"));
}

TEST_F(Waits, TheTreeNamesHoldersWaitersAndTheirCommandLines) {
  Process anna = holds("job/a", "anna");
  Process bert_holds = holds("job/b", "bert");
  Process bert = waits_for("job/a", "bert");    // another process: the grant of job/b is not his
  Process carl = waits_for("job/b", "carl");
  Process dora = waits_for("job/a", "dora");
  const Ended text = keyrack({"waits"});
  ASSERT_EQ(text.status, 0) << text.err;
  std::vector<std::string> lines;
  std::istringstream all(text.out);
  for (std::string line; std::getline(all, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 5u) << text.out;
  const auto expect = [&](std::size_t line, const std::string& begin, const Process& process, const std::string& end) {
    EXPECT_TRUE(lines[line].starts_with(begin)) << lines[line];
    EXPECT_TRUE(contains(lines[line], ", pid " + std::to_string(process.pid()) + ": " KEYRACK_COMMAND " "));
    EXPECT_TRUE(lines[line].ends_with(end)) << lines[line];
  };
  expect(0, "job/a: held by anna for ", anna, "run job/a --signee anna -- sh -c echo ready; exec cat");
  expect(1, "├─ bert has waited ", bert, " --signee bert --wait 1h");
  expect(2, "└─ dora has waited ", dora, " --signee dora --wait 1h");
  expect(3, "job/b: held by bert for ", bert_holds, "exec cat");
  expect(4, "└─ carl has waited ", carl, " --signee carl --wait 1h");

  expect_schema("waits", {keyrack_json({"waits"})},
                {{"/locks/0/state", "free"}, {"/locks/0/holder/lifetime", "eternal"}, {"/waiters/0/waits_for", -1}});
}

TEST_F(Waits, WhatAWaiterHoldsIsBelowHim) {
  ASSERT_EQ(keyrack({"lock", "job/b", "--signee", "bert"}).status, 0);    // a lease: bert's in any process
  Process anna = holds("job/a", "anna");
  Process bert = waits_for("job/a", "bert");
  Process carl = waits_for("job/b", "carl");
  const Ended text = keyrack({"waits"});
  EXPECT_TRUE(contains(text.out, "\n└─ bert has waited ")) << text.out;
  EXPECT_TRUE(contains(text.out, "\n   └─ job/b: held by bert for ")) << text.out;
  EXPECT_TRUE(contains(text.out, "\n      └─ carl has waited ")) << text.out;
  EXPECT_TRUE(contains(text.out, ", which has left\n")) << "bert's grant was made by a process that has ended";

  const json graph = keyrack_json({"waits"});
  ASSERT_EQ(graph.at("locks").size(), 2);
  EXPECT_EQ(graph.at("locks").at(0).at("signature"), "job/a");
  EXPECT_EQ(graph.at("locks").at(0).at("holder").at("signee"), "anna");
  EXPECT_EQ(graph.at("locks").at(0).at("holder").at("pid"), anna.pid());
  EXPECT_EQ(graph.at("locks").at(0).at("waiters"), json::parse("[0]"));
  EXPECT_EQ(graph.at("waiters").at(0).at("holds"), json::parse("[1]"));
  EXPECT_EQ(graph.at("waiters").at(1).at("waits_for"), 1);
  EXPECT_EQ(graph.at("waiters").at(1).at("pid"), carl.pid());
}

TEST_F(Waits, ACycleIsMarked) {
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "xaver"}).status, 0);
  ASSERT_EQ(keyrack({"lock", "b", "--signee", "bert"}).status, 0);
  Process bert = waits_for("a", "bert");
  Process anna = waits_for("b", "anna");
  EXPECT_EQ(keyrack_json({"waits"}).at("cycles"), json::array());
  // Who runs finds the cycle and breaks it: it stays for as long as they are stopped.
  bert.signal(SIGSTOP);
  anna.signal(SIGSTOP);
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "anna", "--force"}).status, 0);
  const Ended text = keyrack({"waits"});
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_TRUE(contains(text.out, "\n      └─ anna has waited ")) << text.out;
  EXPECT_TRUE(contains(text.out, "\n         └─ a: a cycle\n")) << text.out;
  EXPECT_TRUE(contains(text.out, "\ncycle: anna waits for bert waits for anna\n")) << text.out;
  const json graph = keyrack_json({"waits"});
  EXPECT_EQ(graph.at("cycles"), json::parse("[[1, 0]]"));
  expect_schema("waits", {graph}, {{"/cycles/0/0", 0.5}, {"/locks/0/holder/session", ""}});
  EXPECT_TRUE(contains(keyrack({"waits", "--format", "dot"}).out, "color=red"));
  anna.signal(SIGCONT);
  EXPECT_EQ(anna.wait(), 1);    // would deadlock
  EXPECT_EQ(keyrack_json({"waits"}).at("cycles"), json::array());
}

TEST_F(Waits, TheDeadHoldNothingUp) {
  Process anna = holds("a", "anna");
  Process bert = waits_for("a", "bert");
  bert.signal(SIGSTOP);
  anna.signal(SIGKILL);
  EXPECT_EQ(anna.wait(), 128 + SIGKILL);
  const Ended text = keyrack({"waits"});
  EXPECT_TRUE(contains(text.out, "a: held by anna for ")) << text.out;
  EXPECT_TRUE(contains(text.out, " (abandoned), pid " + std::to_string(anna.pid()) + ", which died\n")) << text.out;
  bert.signal(SIGKILL);
  EXPECT_EQ(bert.wait(), 128 + SIGKILL);
  EXPECT_EQ(keyrack({"waits"}).out, "nobody waits\n");
}

TEST_F(Waits, AKeyThatIsFreeWhileItsWaiterIsStopped) {
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "anna"}).status, 0);
  Process bert = waits_for("a", "bert");
  bert.signal(SIGSTOP);
  ASSERT_EQ(keyrack({"unlock", "a", "--signee", "anna"}).status, 0);
  const Ended text = keyrack({"waits"});
  EXPECT_TRUE(text.out.starts_with("a: nobody holds it\n└─ bert has waited ")) << text.out;
  EXPECT_TRUE(keyrack_json({"waits"}).at("locks").at(0).at("holder").is_null());
}

TEST_F(Waits, DotIsGraphvizWhateverTheBytes) {
  if (std::system("dot -V >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no dot, of the package graphviz";
  ASSERT_EQ(keyrack({"create"}).status, 0);
  EXPECT_TRUE(drawn().starts_with("graph "));
  std::string all_bytes;
  for (int byte = 1; byte < 128; ++byte) all_bytes += static_cast<char>(byte);
  const std::vector<std::string> odd = {all_bytes, "\"];}\\", "\\N\\l\\", "&amp;&#34;", "<b>\xff\xc3</b>", "a -> b"};
  std::vector<Process> waiters;
  for (const std::string& text : odd) {
    const std::string signee = text.substr(0, 30);
    ASSERT_EQ(keyrack({"lock", text, "--signee", signee}).status, 0);
    waiters.push_back(start({"lock", text, "--signee", "for " + signee, "--wait", "1h"}));
  }
  ASSERT_TRUE(eventually([&] { return keyrack_json({"dump"}).at("waiters").size() == odd.size(); }));
  const std::string plain = drawn();
  std::map<std::string, int> lines;
  std::istringstream all(plain);
  for (std::string line; std::getline(all, line);) ++lines[line.substr(0, line.find(' '))];
  EXPECT_EQ(lines["node"], 3 * static_cast<int>(odd.size())) << plain;    // keys, holders, waiters
  EXPECT_EQ(lines["edge"], 2 * static_cast<int>(odd.size())) << plain;
  EXPECT_TRUE(contains(plain, R"("&amp;&#34;\nheld")")) << "an entity became a character: " << plain;
  EXPECT_TRUE(contains(plain, R"("\\N\\l\\\nheld")")) << "a backslash was taken for an escape: " << plain;
}

}    // namespace
}    // namespace keyrack::command_test
