#include "worker.hpp"

#include "os/clock.hpp"
#include "reference/asking.hpp"

#include <keyrack/keyrack.hpp>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace keyrack::tests {

namespace {

using namespace reference;

constexpr Instant kWait = 1'000'000;    // of a `wait` that nobody will end

template <class Message>
std::string packed(const Message& message) {
  static_assert(std::is_trivially_copyable_v<Message>);
  return {reinterpret_cast<const char*>(&message), sizeof message};
}

template <class Message>
Message unpacked(const std::string& bytes) {
  if (bytes.size() != sizeof(Message)) throw std::runtime_error("not a message: " + bytes);
  Message message;
  std::memcpy(&message, bytes.data(), sizeof message);
  return message;
}

class Services {
 public:
  void open(const std::string& query) {
    held_.clear();
    locks_.reset();
    names_.reset();
    reopen(query);
  }

  /// What is held is not given back by its owner, but by the closing.
  void close() {
    locks_.reset();
    names_.reset();
  }

  void reopen(const std::string& query) {
    query_ = query;
    locks_ = open_lock_service("shm://" + query).value();
    names_ = open_name_manager("shm://" + query).value();
  }

  Reply answer(const Order& order) {
    Reply reply{.pid = ::getpid()};
    reply.when.from = os::monotonic_ns();
    try {
      if (order.kind == Order::Kind::open) {
        open(order.query.data());
      } else if (order.kind == Order::Kind::names) {
        if (order.name.kind == NamesCall::Kind::list) {
          list(order.key.data(), reply);
        } else {
          reply.name = reference::ask(*names_, order.key.data(), order.name, held_);
        }
      } else if (order.lock.kind == LockCall::Kind::close) {
        close();
        reopen(query_);
      } else {
        reply.lock = reference::ask(*locks_, order.key.data(), order.lock, reply.when.from + kWait);
      }
    } catch (const std::exception& error) {
      std::snprintf(reply.wrong.data(), reply.wrong.size(), "%s", error.what());
    }
    reply.when.to = os::monotonic_ns();
    return reply;
  }

 private:
  void list(const std::string& family, Reply& reply) {
    reply.listed.fill(NamesAnswer::Status::not_exist);
    for (const Name& one : names_->list().value()) {
      if (one.family != family) continue;
      reply.listed.at(std::stoul(one.name)) =
          one.free ? NamesAnswer::Status::listed_free : NamesAnswer::Status::listed_held;
    }
  }

  std::string query_;
  std::unique_ptr<LockService> locks_;
  std::unique_ptr<NameManager> names_;
  HeldNames held_;
};

/// The child inherits the services, and all that its parent holds.
std::string answer_of_child(Services& services, const Order& order) {
  Child child([&](const Child::Link& parent) {
    parent.say(packed(services.answer(order)));
    if (order.by == Order::By::child_that_closes) services.close();
    if (order.by == Order::By::child_that_is_killed) (void)parent.hear();
  });
  const std::string reply = child.hear();
  if (order.by != Order::By::child_that_is_killed) (void)child.join();
  return reply;
}

}    // namespace

void serve(const Child::Link& parent) {
  Services services;
  for (;;) {
    const auto order = unpacked<Order>(parent.hear());
    parent.say(order.by == Order::By::itself ? packed(services.answer(order)) : answer_of_child(services, order));
  }
}

Reply ask(const Child& worker, const Order& order) {
  worker.tell(packed(order));
  return unpacked<Reply>(worker.hear());
}

}    // namespace keyrack::tests
