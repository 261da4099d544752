#include "cluster.hpp"

#include "etcd/client.hpp"
#include "etcd/http.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace keyrack::tests {
namespace {

using std::chrono::steady_clock;

/// A port that was free a moment ago.
int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                     ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(socket);
  if (!bound) throw std::system_error(errno, std::generic_category(), "a free port");
  return ntohs(address.sin_port);
}

nlohmann::json answer_of(const etcd::Access& access, const std::string& endpoint, const std::string& path,
                         const std::string& body, const std::string& authorization = "") {
  etcd::Http http(access);
  const auto answer = http.post(endpoint, path, body, authorization, steady_clock::now() + std::chrono::seconds(10));
  if (answer.status != 200) return {};
  return nlohmann::json::parse(answer.body, nullptr, false);
}

/// The inode of the socket on loopback that is bound to that port; empty: there is none any more.
std::string inode_of(int port) {
  std::ifstream table("/proc/net/tcp");
  std::array<char, 16> local;
  std::snprintf(local.data(), local.size(), "0100007F:%04X", port);
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::array<std::string, 10> field;
    for (std::string& each : field) fields >> each;
    if (field[1] == local.data()) return field[9];
  }
  return {};
}

bool has_socket(pid_t pid, const std::string& inode) {
  std::error_code gone;
  for (const auto& file : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone)) {
    if (std::filesystem::read_symlink(file, gone) == "socket:[" + inode + "]") return true;
  }
  return false;
}

std::string text_in(const nlohmann::json& json, const char* name) {
  return json.is_object() && json.contains(name) && json[name].is_string() ? json[name].get<std::string>() : "";
}

}    // namespace

bool have_etcd() { return std::system("command -v etcd >/dev/null") == 0; }

Cluster& shared_cluster(std::size_t members) {
  static Cluster cluster(members);
  return cluster;
}

Cluster::Cluster(std::size_t members, Security security, Peers peers) : security_(security), members_(members) {
  std::string folder = (std::filesystem::temp_directory_path() / "keyrack-etcd-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp");
  folder_ = folder;
  if (security_ == Security::certificates) make_certificates();
  for (Member& member : members_) {
    member.client_port = free_port();
    member.peer_port = free_port();
    if (peers == Peers::direct) continue;
    member.peer_proxy = std::make_unique<Proxy>(member.peer_port, [this](int port) { return whose(port); });
  }
  for (std::size_t i = 0; i < members; ++i) start(i);
  await_health();
  new_ = false;
}

Cluster::~Cluster() {
  for (std::size_t i = 0; i < size(); ++i) kill(i);
  for (Member& member : members_) member.peer_proxy.reset();    // their threads look at all members
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

int Cluster::advertised_port(std::size_t member) const {
  return members_[member].peer_proxy ? members_[member].peer_proxy->port() : members_[member].peer_port;
}

/// The member whose connection that is; 31: nobody's any more.
unsigned Cluster::whose(int port) const {
  const std::string inode = inode_of(port);
  for (unsigned i = 0; i < size() && !inode.empty(); ++i) {
    if (has_socket(members_[i].pid, inode)) return i;
  }
  return 31;
}

void Cluster::cut_off(std::size_t member) {
  for (std::size_t i = 0; i < size(); ++i) {
    members_[i].peer_proxy->swallow(i == member ? ~0u : 1u << member | 1u << 31);
  }
}

void Cluster::join_all() {
  for (const Member& member : members_) member.peer_proxy->swallow(0);
}

std::string Cluster::endpoints() const {
  std::string all;
  for (std::size_t i = 0; i < size(); ++i) all += (i == 0 ? "" : ",") + endpoint(i);
  return all;
}

etcd::Access Cluster::access() const {
  etcd::Access access;
  for (std::size_t i = 0; i < size(); ++i) access.endpoints.push_back(endpoint(i));
  if (security_ == Security::none) return access;
  access.tls = true;
  access.ca = file("ca.pem");
  access.cert = file("client.pem");
  access.key = file("client.key");
  return access;
}

std::string Cluster::ask(const std::string& path, const std::string& body, const std::string& authorization) const {
  const auto answer = answer_of(access(), endpoint(0), path, body, authorization);
  if (!answer.is_object()) throw std::runtime_error("etcd does not answer " + path);
  return answer.dump();
}

std::size_t Cluster::leases() const {
  const auto answer = nlohmann::json::parse(ask("/v3/lease/leases", "{}"));
  return answer.contains("leases") ? answer["leases"].size() : 0;
}

/// An authority, one certificate that it signed for the members, one for who asks, and one of a stranger's.
void Cluster::make_certificates() const {
  const std::string script = "cd '" + folder_.string() +
                             R"(' && exec >openssl.log 2>&1 || exit
make() { openssl req -newkey rsa:2048 -nodes -days 2 -subj "/O=$1" -keyout "$1.key" "${@:2}"; }
make ca -x509 -out ca.pem && make stranger -x509 -out stranger.pem || exit
for name in member client; do
  make $name -out $name.csr &&
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $name.pem \
    -extfile <(echo subjectAltName=IP:127.0.0.1; echo extendedKeyUsage=serverAuth,clientAuth) || exit
done)";
  const std::string path = file("certificates");
  std::ofstream(path) << script << '\n';
  if (std::system(("bash '" + path + "'").c_str()) != 0) throw std::runtime_error("openssl makes no certificates");
}

void Cluster::start(std::size_t number) {
  Member& member = members_[number];
  const auto url = [](int port) { return "http://127.0.0.1:" + std::to_string(port); };
  const bool tls = security_ == Security::certificates;
  const std::string client_url = (tls ? "https" : "http") + url(member.client_port).substr(4);
  std::string all;
  for (std::size_t i = 0; i < size(); ++i) {
    all += (i == 0 ? "m" : ",m") + std::to_string(i) + "=" + url(advertised_port(i));
  }
  const std::string name = "m" + std::to_string(number);
  // Short elections, so that etcd's least lease, which is made of them, is short, too.
  std::vector<std::string> words{"etcd",
                                 "--name",
                                 name,
                                 "--data-dir",
                                 folder_ / name,
                                 "--listen-client-urls",
                                 client_url,
                                 "--advertise-client-urls",
                                 client_url,
                                 "--listen-peer-urls",
                                 url(member.peer_port),
                                 "--initial-advertise-peer-urls",
                                 url(advertised_port(number)),
                                 "--initial-cluster",
                                 all,
                                 "--initial-cluster-state",
                                 new_ ? "new" : "existing",
                                 "--heartbeat-interval",
                                 "50",
                                 "--election-timeout",
                                 "500",
                                 "--logger",
                                 "zap",
                                 "--log-level",
                                 "error"};
  if (tls) {
    words.insert(words.end(), {"--cert-file", file("member.pem"), "--key-file", file("member.key"), "--trusted-ca-file",
                               file("ca.pem"), "--client-cert-auth"});
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string log = folder_ / (name + ".log");
  std::string threads = "GOMAXPROCS=2";
  std::vector<char*> environment{threads.data()};
  for (char** each = environ; *each != nullptr; ++each) environment.push_back(*each);
  environment.push_back(nullptr);
  const pid_t parent = ::getpid();
  member.pid = ::fork();
  if (member.pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (member.pid > 0) return;
  // Nothing that takes memory: a thread that is not here may have been about to.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(file, STDOUT_FILENO);
  ::dup2(file, STDERR_FILENO);
  ::execvpe(argv[0], argv.data(), environment.data());
  ::_exit(127);
}

void Cluster::kill(std::size_t number) {
  const pid_t pid = members_[number].pid.exchange(-1);
  if (pid < 0) return;
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Cluster::stop(std::size_t number) const {
  ::kill(members_[number].pid, SIGSTOP);
  while (::waitpid(members_[number].pid, nullptr, WUNTRACED) < 0 && errno == EINTR) {
  }
}

void Cluster::resume(std::size_t number) const { ::kill(members_[number].pid, SIGCONT); }

void Cluster::await_health() const {
  const auto until = steady_clock::now() + std::chrono::minutes(1);
  etcd::Access asked = access();
  for (std::size_t i = 0; i < size(); ++i) {
    if (members_[i].pid < 0) continue;
    asked.endpoints = {endpoint(i)};
    etcd::Client client(asked);
    const auto written = client.commit({.then = {etcd::put("health", "")}, .repeatable = true}, until);
    if (!written) throw std::runtime_error("etcd does not start: " + written.error().what);
  }
}

std::size_t Cluster::leader() const {
  for (std::size_t i = 0; i < size(); ++i) {
    const auto status = answer_of(access(), endpoint(i), "/v3/maintenance/status", "{}");
    if (!status.is_object() || !status.contains("header")) continue;
    if (text_in(status, "leader") == text_in(status["header"], "member_id")) return i;
  }
  return size();
}

}    // namespace keyrack::tests
