#include "etcd/http.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <new>

#include <sys/socket.h>

namespace keyrack::etcd {
namespace {

constexpr std::size_t kBodyBytesMax = 256u << 20;    // no answer of etcd's is longer

/// The first to be made in this process sets libcurl up.
CURL* new_easy() {
  [[maybe_unused]] static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURL* easy = curl_easy_init();
  if (easy == nullptr) throw std::bad_alloc();
  return easy;
}

/// As curl opens them, but not for programs that this one starts: who has it is who etcd believes it to be.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}    // namespace

struct Http::Handle {
  CURL* easy = new_easy();
  std::string_view to_send;
  bool body_read = false;    // by curl: some of it may have gone out
  std::string received;
  const std::function<bool(std::string_view)>* on_line = nullptr;
  bool enough = false;    // on_line wants no more
  bool failed = false;    // out of memory, or too long

  Handle() = default;
  ~Handle() { curl_easy_cleanup(easy); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  // A callback, without one to go back: curl would send a body that it knows again when a kept connection breaks.
  static std::size_t read(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    auto& handle = *static_cast<Handle*>(self);
    handle.body_read = true;
    const std::size_t part = handle.to_send.copy(data, size * count);
    handle.to_send.remove_prefix(part);
    return part;
  }

  static std::size_t write(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    auto& handle = *static_cast<Handle*>(self);
    try {
      handle.take({data, size * count});
    } catch (...) {
      handle.failed = true;
    }
    return handle.enough || handle.failed ? 0 : size * count;    // 0 ends the transfer
  }

  void take(std::string_view data) {
    received.append(data);
    failed = received.size() > kBodyBytesMax;
    if (on_line == nullptr) return;
    for (std::size_t end = 0; !enough && (end = received.find('\n')) != received.npos; received.erase(0, end + 1)) {
      enough = !(*on_line)(std::string_view(received).substr(0, end));
    }
  }
};

/// A handle for one request. Each has connections of its own, so that requests of many threads need no lock.
class Http::Borrowed {
 public:
  explicit Borrowed(Http& http) : http_(http) {
    const std::lock_guard guard(http.mutex_);
    if (http.idle_.empty()) {
      handle_ = std::make_unique<Handle>();
    } else {
      handle_ = std::move(http.idle_.back());
      http.idle_.pop_back();
    }
  }
  ~Borrowed() {
    try {
      const std::lock_guard guard(http_.mutex_);
      http_.idle_.push_back(std::move(handle_));
    } catch (const std::bad_alloc&) {    // NOLINT(bugprone-empty-catch): then it is made again
    }
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  Handle& operator*() const { return *handle_; }

 private:
  Http& http_;
  std::unique_ptr<Handle> handle_;
};

Http::Http(const Access& access) : access_(access) {}
Http::~Http() = default;

HttpAnswer Http::perform(Handle& handle, const std::string& endpoint, std::string_view path, const std::string& body,
                         const std::string& authorization, steady_clock::time_point until) {
  using Came = HttpAnswer::Came;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - steady_clock::now()).count();
  if (left <= 0) return {.came = Came::never_sent, .what = endpoint + ": no time left"};
  const auto limit_ms = static_cast<long>(std::min<std::int64_t>(left, 24 * 3'600'000));

  CURL* easy = handle.easy;
  curl_easy_reset(easy);    // of options; connections stay
  handle.received.clear();
  handle.to_send = body;
  handle.enough = handle.failed = handle.body_read = false;
  char error[CURL_ERROR_SIZE] = "";
  const std::string url = (access_.tls ? "https://" : "http://") + endpoint + std::string(path);
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  curl_easy_setopt(easy, CURLOPT_PROXY, "");    // whatever the environment says
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);    // a name server that is silent is not waited for, either
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, limit_ms);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, limit_ms);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Handle::write);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &handle);
  curl_easy_setopt(easy, CURLOPT_POST, 1L);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, &Handle::read);
  curl_easy_setopt(easy, CURLOPT_READDATA, &handle);
  if (!access_.ca.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, access_.ca.c_str());
  if (!access_.cert.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERT, access_.cert.c_str());
    curl_easy_setopt(easy, CURLOPT_SSLKEY, access_.key.c_str());
  }
  curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
  headers = curl_slist_append(headers, "Expect:");    // no round trip before the body
  if (!authorization.empty()) headers = curl_slist_append(headers, ("Authorization: " + authorization).c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);

  const CURLcode code = curl_easy_perform(easy);
  curl_slist_free_all(headers);
  HttpAnswer answer{.came = Came::in_doubt, .what = endpoint + ": " + (error[0] ? error : curl_easy_strerror(code))};
  answer.timed_out = code == CURLE_OPERATION_TIMEDOUT;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
  if (handle.enough || (code == CURLE_OK && !handle.failed)) {
    answer.came = Came::whole;
    answer.body = std::move(handle.received);
  } else if (!handle.body_read) {
    answer.came = Came::never_sent;
  }
  return answer;
}

HttpAnswer Http::post(const std::string& endpoint, std::string_view path, const std::string& body,
                      const std::string& authorization, steady_clock::time_point until) {
  const Borrowed handle(*this);
  (*handle).on_line = nullptr;
  return perform(*handle, endpoint, path, body, authorization, until);
}

HttpAnswer Http::stream(const std::string& endpoint, std::string_view path, const std::string& body,
                        const std::string& authorization, steady_clock::time_point until,
                        const std::function<bool(std::string_view)>& on_line) {
  const Borrowed handle(*this);
  (*handle).on_line = &on_line;
  HttpAnswer answer = perform(*handle, endpoint, path, body, authorization, until);
  if (answer.came == HttpAnswer::Came::whole && !(*handle).enough) answer.came = HttpAnswer::Came::in_doubt;
  return answer;
}

}    // namespace keyrack::etcd
