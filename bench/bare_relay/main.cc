// bare_relay: the floor of the proxy benchmark. One thread, epoll, recv then send, one upstream connection per client
// connection, not a byte looked at: what any proxy on this machine must at least spend.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Pair;

struct Side {
  int fd = -1;
  Pair* pair = nullptr;
  Side* other = nullptr;
  std::string unsent;  // what this side's socket did not take yet; while there is any, the other side is not read
};

struct Pair {
  Side client;
  Side upstream;
  bool closed = false;
};

bool parse_address(std::string_view text, sockaddr_in& address) {
  const std::size_t colon = text.rfind(':');
  unsigned port = 65536;
  if (colon == std::string_view::npos) return false;
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return port <= 65535 && ::inet_pton(AF_INET, std::string(text.substr(0, colon)).c_str(), &address.sin_addr) == 1;
}

class Relay {
 public:
  Relay(int listener, const sockaddr_in& upstream) : listener_(listener), upstream_(upstream) {
    watch(listener_, EPOLLIN, nullptr);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 128> events{};
    for (;;) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.ptr == nullptr) accept_all();
        else serve(*static_cast<Side*>(event.data.ptr), event.events);
      }
      for (Pair* pair : closed_) delete pair;
      closed_.clear();
    }
  }

 private:
  void watch(int fd, std::uint32_t events, Side* side) const {
    epoll_event event{};
    event.events = events;
    event.data.ptr = side;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void accept_all() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int out = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      // Blocking, once per connection and on the loopback: not part of what is measured.
      if (::connect(out, reinterpret_cast<const sockaddr*>(&upstream_), sizeof upstream_) != 0) {
        ::close(out);
        ::close(fd);
        continue;
      }
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      ::setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto* pair = new Pair;
      pair->client = {fd, pair, &pair->upstream, {}};
      pair->upstream = {out, pair, &pair->client, {}};
      watch(fd, kEvents, &pair->client);
      watch(out, kEvents, &pair->upstream);
    }
  }

  void serve(Side& side, std::uint32_t events) {
    if (side.pair->closed) return;
    if ((events & EPOLLOUT) != 0 && !side.unsent.empty() && flush(side)) pass_on(*side.other);
    if ((events & EPOLLIN) != 0 && !side.pair->closed) pass_on(side);
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) close(*side.pair);
  }

  void pass_on(Side& from) {
    Side& to = *from.other;
    while (!from.pair->closed && to.unsent.empty()) {
      const ssize_t got = ::recv(from.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        close(*from.pair);
        return;
      }
      const auto size = static_cast<std::size_t>(got);
      ssize_t put = ::send(to.fd, buffer_.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (put < 0 && errno == EAGAIN) put = 0;
      if (put < 0) {
        close(*from.pair);
        return;
      }
      const auto sent = static_cast<std::size_t>(put);
      if (sent < size) to.unsent.assign(buffer_.data() + sent, size - sent);
      if (size < buffer_.size()) return;  // edges: the next byte is an event of its own
    }
  }

  bool flush(Side& side) {
    const ssize_t put = ::send(side.fd, side.unsent.data(), side.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put > 0) side.unsent.erase(0, static_cast<std::size_t>(put));
    return side.unsent.empty();
  }

  void close(Pair& pair) {
    if (pair.closed) return;
    pair.closed = true;
    ::close(pair.client.fd);
    ::close(pair.upstream.fd);
    closed_.push_back(&pair);
  }

  static constexpr std::uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  const int listener_;
  const sockaddr_in upstream_;
  std::vector<char> buffer_ = std::vector<char>(64 * 1024);
  std::vector<Pair*> closed_;  // freed after the round: its events may still name them
};

}  // namespace

int main(int count, char** arguments) {
  sockaddr_in listen{};
  sockaddr_in upstream{};
  if (count != 3 || !parse_address(arguments[1], listen) || !parse_address(arguments[2], upstream)) {
    std::fputs("usage: bare_relay LISTEN_ADDRESS:PORT UPSTREAM_ADDRESS:PORT\n", stderr);
    return 2;
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&listen), sizeof listen) != 0 ||
      ::listen(listener, 4096) != 0) {
    std::fprintf(stderr, "bare_relay: cannot listen on %s: %s\n", arguments[1], std::strerror(errno));
    return 1;
  }
  Relay(listener, upstream).run();
}
