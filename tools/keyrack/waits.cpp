// keyrack waits: who waits for whom, as a tree, for Graphviz, and for programs.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "processes.hpp"
#include "services.hpp"
#include "wait_graph.hpp"
#include "words.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace keyrack::command {
namespace {

struct WaitsOptions {
  std::string format;
  ImageFile file;
};

/// ", pid 12: worker --shard 3".
std::string process_of(std::int32_t pid, const std::string& command) {
  return command.empty() ? fmt::format(", pid {}", pid) : fmt::format(", pid {}: {}", pid, printable(command));
}

void write_lock(Output& output, const LockPicture& lock, const Processes& processes) {
  output.paint(Colour::bold, printable(lock.signature));
  if (lock.state == LockState::idle) {
    output.print(": nobody holds it");
    return;
  }
  output.print(": held by {}", printable(lock.signee));
  if (lock.held_for) output.print(" for {}", people(*lock.held_for));
  if (lock.state != LockState::held) {
    output.print(" (");
    output.paint(colour_of(lock.state), to_string(lock.state));
    output.print(")");
  }
  output.print("{}", process_of(lock.pid, processes.command_of(lock.session)));
  // What its command line was nobody knows any more, and its pid may be another process's by now.
  if (!lock.session) output.print(", which {}", lock.state == LockState::abandoned ? "died" : "has left");
}

void write_text(Output& output, const WaitGraph& graph, const WaitTree& tree, const Processes& processes) {
  if (tree.lines.empty()) output.print("nobody waits\n");
  std::vector<bool> last;    // on the way to this line
  for (const TreeLine& line : tree.lines) {
    last.resize(line.depth);
    for (std::size_t i = 1; i < last.size(); ++i) output.print("{}", last[i] ? "   " : "│  ");
    if (line.depth > 0) output.print("{}", line.last ? "└─ " : "├─ ");
    last.push_back(line.last);
    if (line.kind == TreeLine::Kind::waiter) {
      const WaiterPicture& waiter = graph.waiters[line.index].picture;
      output.print("{} has waited {}{}", printable(waiter.signee), people(waiter.waited),
                   process_of(waiter.pid, processes.command_of(waiter.session)));
    } else if (line.kind == TreeLine::Kind::lock) {
      write_lock(output, graph.locks[line.index].picture, processes);
    } else {
      output.paint(Colour::bold, printable(graph.locks[line.index].picture.signature));
      output.print(": ");
      const bool closes = line.kind == TreeLine::Kind::cycle;
      output.paint(closes ? Colour::red : Colour::plain, closes ? "a cycle" : "shown above");
    }
    output.print("\n");
    output.drain_if_large();
  }
  for (const auto& cycle : tree.cycles) {
    output.paint(Colour::red, "cycle:");
    for (const std::size_t waiter : cycle)
      output.print(" {} waits for", printable(graph.waiters[waiter].picture.signee));
    output.print(" {}\n", printable(graph.waiters[cycle.front()].picture.signee));
  }
}

void write_json(Output& output, const WaitGraph& graph, const WaitTree& tree, const Processes& processes) {
  Json json(output);
  json.begin_object().key("locks").begin_array();
  for (const WaitGraph::Lock& lock : graph.locks) {
    const LockPicture& picture = lock.picture;
    json.begin_object().member("signature", picture.signature).member("state", to_string(picture.state));
    if (picture.state == LockState::idle) {
      json.key("holder").value(nullptr);
    } else {
      json.key("holder")
          .begin_object()
          .member("signee", picture.signee)
          .member("pid", picture.pid)
          .member("session", picture.session)
          .member("command", processes.command_of(picture.session))
          .member("lifetime", lifetime_of(picture))
          .member("token", picture.token)
          .member("held_for_ms", picture.held_for)
          .end_object();
    }
    json.key("waiters").begin_array();
    for (const std::size_t waiter : lock.waiters) json.value(waiter);
    json.end_array().end_object();
  }
  json.end_array().key("waiters").begin_array();
  for (const WaitGraph::Waiter& waiter : graph.waiters) {
    json.begin_object()
        .member("signee", waiter.picture.signee)
        .member("pid", waiter.picture.pid)
        .member("session", waiter.picture.session)
        .member("command", processes.command_of(waiter.picture.session))
        .member("level", waiter.picture.level)
        .member("waited_ms", waiter.picture.waited)
        .member("waits_for", waiter.lock);
    json.key("holds").begin_array();
    for (const std::size_t lock : waiter.holds) json.value(lock);
    json.end_array().end_object();
  }
  json.end_array().key("cycles").begin_array();
  for (const auto& cycle : tree.cycles) {
    json.begin_array();
    for (const std::size_t waiter : cycle) json.value(waiter);
    json.end_array();
  }
  json.end_array().end_object();
  output.print("\n");
}

/// Between the quotes of a label: Graphviz knows backslashes and HTML's entities there.
std::string label(std::string_view text) {
  std::string escaped;
  for (const char c : printable(text)) {
    if (c == '&') {
      escaped += "&amp;";
    } else {
      if (c == '\\' || c == '"') escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

/// Boxes are keys, ellipses who holds them or waits for them. Nodes have numbers, so that no byte of a key is syntax.
class Dot {
 public:
  Dot(Output& output, const WaitGraph& graph, const WaitTree& tree, const Processes& processes)
      : output_(output), graph_(graph), processes_(processes) {
    for (const auto& cycle : tree.cycles) {
      for (std::size_t i = 0; i < cycle.size(); ++i) {
        const std::size_t lock = graph.waiters[cycle[i]].lock;
        red_waits_.insert(cycle[i]);
        red_holds_.insert({lock, cycle[(i + 1) % cycle.size()]});
      }
    }
  }

  void write() {
    output_.print("digraph waits {{\n  rankdir=LR;\n");
    for (std::size_t at = 0; at < graph_.locks.size(); ++at) {
      const WaitGraph::Lock& lock = graph_.locks[at];
      output_.print("  k{} [shape=box, label=\"{}\\n{}\"];\n", at, label(lock.picture.signature),
                    to_string(lock.picture.state));
      for (const std::size_t holder : lock.holders) {
        hold(at, who(graph_.waiters[holder].picture), red_holds_.contains({at, holder}));
      }
      if (lock.holders.empty() && lock.picture.state != LockState::idle) hold(at, who(lock.picture), false);
      output_.drain_if_large();
    }
    for (std::size_t at = 0; at < graph_.waiters.size(); ++at) {
      const WaitGraph::Waiter& waiter = graph_.waiters[at];
      const std::size_t node = who(waiter.picture);
      output_.print("  w{} -> k{} [label=\"waits {}\"{}];\n", node, waiter.lock, people(waiter.picture.waited),
                    red_waits_.contains(at) ? ", color=red" : "");
      output_.drain_if_large();
    }
    output_.print("}}\n");
  }

 private:
  using Who = std::pair<std::string, std::optional<std::uint32_t>>;    // signee, session

  std::size_t who(const WaiterPicture& waiter) {
    return who({waiter.signee, waiter.session}, waiter.pid, waiter.session);
  }
  std::size_t who(const LockPicture& lock) {
    return who({lock.signee, lock.process_bound ? lock.session : std::nullopt}, lock.pid, lock.session);
  }
  std::size_t who(const Who& one, std::int32_t pid, std::optional<std::uint32_t> session) {
    const auto [node, is_new] = numbers_.try_emplace(one, numbers_.size());
    if (is_new) {
      output_.print("  w{} [label=\"{}\\npid {}\\n{}\"];\n", node->second, label(one.first), pid,
                    label(processes_.command_of(session)));
    }
    return node->second;
  }

  void hold(std::size_t lock, std::size_t node, bool red) {
    const auto held_for = graph_.locks[lock].picture.held_for;
    output_.print("  k{} -> w{} [label=\"held by, {}\"{}];\n", lock, node, held_for ? people(*held_for) : "new",
                  red ? ", color=red" : "");
  }

  Output& output_;
  const WaitGraph& graph_;
  const Processes& processes_;
  std::map<Who, std::size_t> numbers_;
  std::set<std::size_t> red_waits_;
  std::set<std::pair<std::size_t, std::size_t>> red_holds_;
};

int waits(const CommandLine& line, const WaitsOptions& options) {
  int status = kDone;
  const auto inspector = open_inspector_of(line, options.file, "waits", status);
  if (!inspector) return status;
  const auto snapshot = inspector->snapshot();
  if (!snapshot) return fail_to_read(line, options.file, snapshot.error());
  const WaitGraph graph = wait_graph(*snapshot);
  const WaitTree tree = tree_of(graph);
  const Processes processes(*snapshot);
  Output output;
  if (options.format == "json") {
    write_json(output, graph, tree, processes);
  } else if (options.format == "dot") {
    Dot(output, graph, tree, processes).write();
  } else {
    if (options.file) output.print("{}\n", about_copy(*snapshot));
    write_text(output, graph, tree, processes);
  }
  return output.finish();
}

}    // namespace

void add_waits(CommandLine& line) {
  auto [command, options] =
      add_command("waits", "who waits for whom, as a tree: keys, below each who waits, below him what waits for him",
                  "keyrack waits --format dot | dot -Tsvg -o waits.svg", line, waits);
  command.add_format(options->format, {"text", "dot", "json"});
  add_file(command, options->file);
}

}    // namespace keyrack::command
