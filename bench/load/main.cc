// paced_load: sends requests at a fixed rate over keep-alive connections, whatever the answers do (an open loop), and
// prints latencies as JSON. wrk cannot pace; this measures a proxy that is not saturated.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using SteadyClock = std::chrono::steady_clock;

struct Plan {
  std::string host;
  std::uint16_t port = 0;
  std::string path = "/";
  std::string keys_file;  // one Authorization value per line; connection i uses line i % lines
  std::size_t connections = 64;
  std::size_t body_bytes = 1024;
  long rate = 2000;
  long seconds = 5;
  // The last millisecond before a request is due: awake, which is exact and wants a core of its own, or asleep, which
  // is late by some microseconds and leaves the core to whoever else is measured on it.
  bool spin = false;
  // Calls still waiting for a free connection when the time is over are not sent: an offer beyond what can be taken.
  bool overload = false;
};

struct Connection {
  int fd = -1;
  std::string request;
  std::string answer;
  SteadyClock::time_point due;  // when the request in flight should have gone out
};

std::string request_text(const Plan& plan, const std::string& key) {
  std::string out = "POST " + plan.path + " HTTP/1.1\r\nHost: " + plan.host + "\r\n";
  if (!key.empty()) out += "Authorization: " + key + "\r\n";
  out += "Content-Type: application/octet-stream\r\nContent-Length: " + std::to_string(plan.body_bytes) + "\r\n\r\n";
  return out.append(plan.body_bytes, 'x');
}

class Load {
 public:
  explicit Load(const Plan& plan) : plan_(plan), connections_(plan.connections) {
    std::vector<std::string> keys;
    std::ifstream file(plan.keys_file);
    for (std::string line; std::getline(file, line);) keys.push_back(line);
    if (keys.empty()) keys.emplace_back();
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].request = request_text(plan, keys[i % keys.size()]);
      connect(connections_[i]);
      idle_.push_back(&connections_[i]);
    }
  }

  // A second of warming up, then the measurement.
  void run() {
    go(1);
    latencies_us_.clear();
    errors_ = 0;
    over_ = {};
    const auto begin = SteadyClock::now();
    go(plan_.seconds);
    report(std::chrono::duration<double>((over_ != SteadyClock::time_point() ? over_ : SteadyClock::now()) - begin)
               .count());
  }

  [[nodiscard]] bool clean() const { return errors_ == 0; }

 private:
  void connect(Connection& connection) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(plan_.port);
    if (::inet_pton(AF_INET, plan_.host.c_str(), &address.sin_addr) != 1) throw std::runtime_error("bad address");
    connection.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(connection.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect");
    const int on = 1;
    ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &connection;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
  }

  void go(long seconds) {
    const auto gap = std::chrono::nanoseconds(1'000'000'000 / plan_.rate);
    const auto begin = SteadyClock::now();
    long left = plan_.rate * seconds;
    auto due = begin;
    while (left > 0 || idle_.size() < connections_.size()) {
      const auto now = SteadyClock::now();
      if (plan_.overload && left > 0 && now - begin >= std::chrono::seconds(seconds)) {
        over_ = now;
        left = 0;
      }
      while (left > 0 && due <= now && !idle_.empty()) {
        send_one(due);
        due += gap;
        --left;
      }
      if (now - begin > std::chrono::seconds(seconds + 10)) throw std::runtime_error("answers stopped coming");
      std::chrono::nanoseconds wait = std::chrono::milliseconds(100);
      if (left > 0 && !idle_.empty()) wait = std::max<std::chrono::nanoseconds>(due - SteadyClock::now(), wait * 0);
      if (plan_.spin) wait = std::chrono::floor<std::chrono::milliseconds>(wait);
      poll(wait);
    }
  }

  void send_one(SteadyClock::time_point due) {
    // In turn, as if each connection were a client of its own.
    Connection& connection = *idle_.front();
    idle_.pop_front();
    connection.due = due;
    connection.answer.clear();
    const std::string& text = connection.request;
    if (::send(connection.fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
      throw std::runtime_error("cannot send");
  }

  void poll(std::chrono::nanoseconds timeout) {
    const timespec most{timeout.count() / 1'000'000'000, timeout.count() % 1'000'000'000};
    std::array<epoll_event, 64> events{};
    const int count = ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &most, nullptr);
    for (int i = 0; i < count; ++i) receive(*static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr));
  }

  void receive(Connection& connection) {
    const ssize_t got = ::recv(connection.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) throw std::runtime_error("the server closed a connection");
    connection.answer.append(buffer_.data(), static_cast<std::size_t>(got));
    const std::size_t head_end = connection.answer.find("\r\n\r\n");
    if (head_end == std::string::npos) return;
    if (connection.answer.size() < head_end + 4 + length_of(connection.answer)) return;
    idle_.push_back(&connection);
    if (over_ != SteadyClock::time_point()) return;
    const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - connection.due);
    latencies_us_.push_back(taken.count());
    if (!connection.answer.starts_with("HTTP/1.1 2")) ++errors_;
  }

  static std::size_t length_of(const std::string& answer) {
    for (const std::string_view name : {"Content-Length: ", "content-length: "}) {
      const std::size_t at = answer.find(name);
      if (at == std::string::npos) continue;
      std::size_t length = 0;
      std::from_chars(answer.data() + at + name.size(), answer.data() + answer.size(), length);
      return length;
    }
    throw std::runtime_error("an answer without Content-Length");
  }

  void report(double seconds) {
    std::sort(latencies_us_.begin(), latencies_us_.end());
    const auto at = [&](std::size_t per_mille) {
      return latencies_us_.empty() ? 0L
                                   : static_cast<long>(latencies_us_[(latencies_us_.size() - 1) * per_mille / 1000]);
    };
    std::printf(
        "{\"requests\":%zu,\"errors\":%ld,\"seconds\":%.3f,\"p50_us\":%ld,\"p90_us\":%ld,\"p99_us\":%ld,\"max_us\":%ld}"
        "\n",
        latencies_us_.size(), errors_, seconds, at(500), at(900), at(990), at(1000));
  }

  const Plan& plan_;
  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections_;
  std::deque<Connection*> idle_;
  std::vector<char> buffer_ = std::vector<char>(64 * 1024);
  std::vector<std::int64_t> latencies_us_;
  long errors_ = 0;
  SteadyClock::time_point over_;  // an overload's end: answers after it are waited for and not counted
};

bool parse(int count, char** arguments, Plan& plan) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = arguments[i];
    const std::string value = arguments[i + 1];
    if (name == "--host") plan.host = value;
    else if (name == "--port") plan.port = static_cast<std::uint16_t>(std::stoi(value));
    else if (name == "--path") plan.path = value;
    else if (name == "--keys-file") plan.keys_file = value;
    else if (name == "--connections") plan.connections = std::stoul(value);
    else if (name == "--body-bytes") plan.body_bytes = std::stoul(value);
    else if (name == "--rate") plan.rate = std::stol(value);
    else if (name == "--seconds") plan.seconds = std::stol(value);
    else if (name == "--spin") plan.spin = value != "0";
    else if (name == "--overload") plan.overload = value != "0";
    else return false;
  }
  return count % 2 == 1 && !plan.host.empty() && plan.port != 0 && plan.rate > 0 && plan.connections > 0;
}

}  // namespace

int main(int count, char** arguments) {
  Plan plan;
  try {
    if (!parse(count, arguments, plan)) {
      std::fputs(
          "usage: paced_load --host A --port P [--path /] [--keys-file F] [--connections 64] [--body-bytes 1024]"
          " [--rate 2000] [--seconds 5] [--spin 0] [--overload 0]\n",
          stderr);
      return 2;
    }
    ::prctl(PR_SET_TIMERSLACK, 1);  // nanoseconds: sleeping ends when it should
    Load load(plan);
    load.run();
    return load.clean() ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "paced_load: %s\n", error.what());
    return 1;
  }
}
