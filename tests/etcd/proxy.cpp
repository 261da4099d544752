#include "proxy.hpp"

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace keyrack::tests {
namespace {

using std::chrono::steady_clock;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool send_all(int socket, const std::string& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t some = ::send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (some <= 0) return false;
    sent += static_cast<std::size_t>(some);
  }
  return true;
}

std::string receive(int socket) {
  std::string bytes(1 << 16, '\0');
  const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), 0);
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

/// Whole requests have a length, and come one at a time.
bool is_whole(const std::string& request) {
  constexpr std::string_view kLength = "Content-Length: ", kEnd = "\r\n\r\n";
  const auto end = request.find(kEnd), length = request.find(kLength);
  return end != request.npos && length < end &&
         request.size() >= end + kEnd.size() + std::stoul(request.substr(length + kLength.size()));
}

}    // namespace

Proxy::Proxy(int member_port, Whose whose) : member_port_(member_port), whose_(std::move(whose)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0 || ::pipe(wake_) != 0) {
    throw std::system_error(errno, std::generic_category(), "a proxy");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { loop(); });
}

Proxy::~Proxy() {
  ::close(wake_[1]);
  thread_.join();
  for (const Pair& pair : pairs_) {
    ::close(pair.client);
    ::close(pair.member);
  }
  ::close(wake_[0]);
  ::close(listener_);
}

int Proxy::connect_to_member() const {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(member_port_);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  ::close(socket);
  return -1;
}

void Proxy::loop() {
  for (;;) {
    std::vector<pollfd> polled{{wake_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Pair& pair : pairs_) {
      polled.push_back({pair.client, POLLIN, 0});
      polled.push_back({pair.member, POLLIN, 0});
    }
    if (::poll(polled.data(), polled.size(), until_something_is_due()) < 0) continue;
    if (polled[0].revents != 0) return;
    std::size_t at = 2;
    for (auto pair = pairs_.begin(); pair != pairs_.end(); at += 2) {
      bool open = !pair->swallowed || is_swallowed(*pair);
      open = open && (polled[at].revents == 0 || forward_request(*pair));
      if (open && polled[at + 1].revents != 0) open = forward_answer(*pair);
      open = open && forward_what_is_due(*pair);
      if (open) {
        ++pair;
        continue;
      }
      for (const int socket : {pair->client, pair->member}) {
        ::shutdown(socket, SHUT_RDWR);    // forked children have it, too
        ::close(socket);
      }
      pair = pairs_.erase(pair);
    }
    if (polled[1].revents == 0) continue;
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const int client = ::accept4(listener_, reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC);
    const int member = connect_to_member();
    if (client >= 0 && member >= 0) {
      pairs_.push_back({client, member, whose_ ? whose_(ntohs(from.sin_port)) : 0});
    } else {
      ::close(client);
      ::close(member);
    }
  }
}

int Proxy::until_something_is_due() const {
  int span = whose_ ? 50 : -1;    // now and then, for connections that must end because they were swallowed once
  for (const Pair& pair : pairs_) {
    if (pair.answer.empty()) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(pair.due - steady_clock::now()).count();
    const int due = static_cast<int>(std::max<std::int64_t>(left, 0));
    span = span < 0 ? due : std::min(span, due);
  }
  return span;
}

bool Proxy::forward_what_is_due(Pair& pair) {
  if (pair.answer.empty() || steady_clock::now() < pair.due) return true;
  return send_all(pair.client, std::exchange(pair.answer, {}));
}

void Proxy::count(const std::string& request) {
  constexpr std::string_view kPost = "POST ";
  if (!request.starts_with(kPost)) return;    // the rest of one
  const std::lock_guard guard(mutex_);
  ++asked_[request.substr(kPost.size(), request.find(' ', kPost.size()) - kPost.size())];
}

int Proxy::asked(const std::string& path) const {
  const std::lock_guard guard(mutex_);
  int all = 0;
  for (const auto& [asked, times] : asked_) all += path.empty() || asked == path ? times : 0;
  return all;
}

bool Proxy::is_spoiled() {
  if (left_ <= 0) return false;
  if (spared_ > 0) {
    --spared_;
    return false;
  }
  --left_;
  return true;
}

/// False at its end.
bool Proxy::swallow_from(int socket, Pair& pair) const {
  pair.swallowed = true;
  return !receive(socket).empty();
}

bool Proxy::forward_request(Pair& pair) {
  if (is_swallowed(pair)) return swallow_from(pair.client, pair);
  const std::string part = receive(pair.client);
  count(part);
  if (part.empty() || (fault_ == Fault::apart && is_spoiled())) return false;
  if (pair.request.empty() && (fault_ != Fault::late || !part.starts_with("POST /v3/kv/txn ") || !is_spoiled())) {
    return send_all(pair.member, part);
  }
  pair.request += part;
  if (!is_whole(pair.request)) return true;
  const std::lock_guard guard(mutex_);
  late_.push_back(pair.request);
  return false;
}

std::size_t Proxy::deliver() {
  const std::lock_guard guard(mutex_);
  for (const std::string& request : late_) {
    const int member = connect_to_member();
    if (!send_all(member, request) || receive(member).empty()) throw std::runtime_error("a late request had no answer");
    ::close(member);
  }
  const std::size_t count = late_.size();
  late_.clear();
  return count;
}

bool Proxy::forward_answer(Pair& pair) {
  if (is_swallowed(pair)) return swallow_from(pair.member, pair);
  std::string answer = receive(pair.member);
  if (answer.empty()) return false;
  if (pair.mute) return true;
  if (!pair.answer.empty()) {
    pair.answer += answer;
    return true;
  }
  if (fault_ == Fault::apart || fault_ == Fault::late || !is_spoiled()) return send_all(pair.client, answer);
  if (when_lost_) std::exchange(when_lost_, nullptr)();
  const std::size_t body = std::min(answer.find("\r\n\r\n"), answer.size());
  switch (fault_) {
    case Fault::none:
    case Fault::apart:
    case Fault::late:
      break;
    case Fault::cut:
      return false;
    case Fault::truncate:
      (void)send_all(pair.client, answer.substr(0, body + (answer.size() - body) / 2));
      return false;
    case Fault::corrupt:
      for (std::size_t i = body + 4; i < answer.size(); i += 7) answer[i] = static_cast<char>(answer[i] ^ 0x15);
      break;
    case Fault::garbage:
      answer = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"header\": 7}";
      break;
    case Fault::slow:
      pair.answer = std::move(answer);
      pair.due = steady_clock::now() + delay_.load();
      return true;
    case Fault::silent:
      pair.mute = true;
      return true;
  }
  return send_all(pair.client, answer);
}

}    // namespace keyrack::tests
