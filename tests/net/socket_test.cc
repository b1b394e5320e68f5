#include "net/socket.h"

#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/address_v4.hpp>
#include <set>
#include <string>

#include "net/outgoing.h"

namespace tollgate::net {
namespace {

void expect_no_failure(const std::exception_ptr& failure) { EXPECT_FALSE(failure); }
const Endpoint kAnyPort(asio::ip::address_v4::loopback(), 0);

// Our end of a connection on the loop; the test holds the other, a plain blocking descriptor.
class SocketTest : public testing::Test {
 protected:
  SocketTest() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    peer_ = ends[1];
    ours_fd_ = ends[0];
    EXPECT_FALSE(set_non_blocking(ours_fd_));
    EXPECT_FALSE(ours_.open(loop_, ours_fd_));
    loop_.turn(true);  // hears that it is writable
  }
  ~SocketTest() override { close_peer(); }

  static error_code set_non_blocking(int fd) {
    const int on = 1;
    return ::ioctl(fd, FIONBIO, &on) == 0 ? error_code() : last_error();
  }
  void close_peer() {
    if (peer_ >= 0) ::close(std::exchange(peer_, -1));
  }
  void say(std::string_view text) { ASSERT_EQ(::send(peer_, text.data(), text.size(), 0), std::ssize(text)); }
  Task<void> read_once(std::size_t space) {
    std::string into(space, '\0');
    ++began_;
    const auto [error, got] = co_await ours_.read_some(into);
    heard_ += error ? "<" + error.message() + ">" : into.substr(0, got);
    ++ended_;
  }
  void begin_read(std::size_t space = 100) { loop_.spawn(read_once(space), expect_no_failure); }
  void run_until_ended(int count) {
    while (ended_ < count) loop_.turn(true);
  }

  Task<void> read_many(int times) {
    for (int i = 0; i < times; ++i) co_await read_once(1);
  }
  Task<void> send_all(std::string_view head, std::string_view text) {
    Outgoing out;
    out.add(head);
    out.add(text);
    while (!out.empty()) {
      out.send_some(ours_.native_handle(), failed_);
      if (!failed_) continue;
      EXPECT_TRUE(would_block(failed_)) << failed_.message();
      failed_ = co_await ours_.wait_until(Watch::kWrite);
    }
    ++ended_;
  }
  Task<void> wait_for_room(bool tried) {
    failed_ = co_await ours_.wait_until(Watch::kWrite, tried);
    ++ended_;
  }
  Task<void> wait_for_error() {
    failed_ = co_await ours_.wait_until(Watch::kBroken);
    ++ended_;
  }

  Loop loop_;
  Socket ours_;
  error_code failed_;
  int ours_fd_ = -1;
  int peer_ = -1;
  int began_ = 0;
  int ended_ = 0;
  std::string heard_;
};

TEST_F(SocketTest, ReadsWhatComesWhileItWaitsAndWhatWasThere) {
  begin_read();
  loop_.turn(false);
  EXPECT_EQ(ended_, 0);
  say("one");
  run_until_ended(1);
  EXPECT_EQ(heard_, "one");
  say("two");
  loop_.turn(true);  // nobody waits: it is remembered
  begin_read();
  EXPECT_EQ(heard_, "onetwo");
}

TEST_F(SocketTest, SendsSmallPiecesInTheirOrder) {
  for (const std::size_t size : {1U, 400U, 2000U}) {  // copied into one, and not
    const std::string text(size, 't');
    loop_.spawn(send_all("head ", text), expect_no_failure);
    std::string heard(5 + size, '\0');
    ASSERT_EQ(::recv(peer_, heard.data(), heard.size(), MSG_WAITALL), std::ssize(heard));
    EXPECT_EQ(heard, "head " + text);
  }
}

TEST_F(SocketTest, ReadsOnAtOnceWhereAReadFilledItsSpace) {
  say("abcdef");
  loop_.turn(true);
  begin_read(4);
  begin_read(4);
  EXPECT_EQ(heard_, "abcdef");
}

// One event tells of both: after a read that emptied the socket, nothing more would ever be heard of the end.
TEST_F(SocketTest, HearsAnEndThatCameTogetherWithTheLastBytes) {
  say("last");
  close_peer();
  loop_.turn(true);
  begin_read();
  begin_read();
  EXPECT_EQ(heard_, "last<End of file>");
}

TEST_F(SocketTest, HearsAnEndThatComesAfterTheLastBytesWereRead) {
  say("last");
  loop_.turn(true);
  begin_read();
  close_peer();
  begin_read();
  run_until_ended(2);
  EXPECT_EQ(heard_, "last<End of file>");
}

TEST_F(SocketTest, OneThatAlwaysHasBytesLetsTheOthersGoFirst) {
  say(std::string(100, 'x'));
  loop_.turn(true);
  loop_.spawn(read_many(100), expect_no_failure);
  EXPECT_LT(ended_, 10);
  EXPECT_GT(ended_, 1);
  run_until_ended(100);
  EXPECT_EQ(heard_, std::string(100, 'x'));
}

TEST_F(SocketTest, ACancelledReadEndsSoonAndTakesNoBytes) {
  begin_read();
  ours_.cancel();
  EXPECT_EQ(ended_, 0);  // never inside of cancel()
  say("kept");
  loop_.turn(true);
  EXPECT_EQ(heard_, "<Operation canceled>");
  begin_read();
  EXPECT_EQ(heard_, "<Operation canceled>kept");
}

TEST_F(SocketTest, AReadThatWaitsForItsTurnIsCancelledToo) {
  say(std::string(100, 'x'));
  loop_.turn(true);
  for (int i = 0; i < 10 && began_ == ended_; ++i) begin_read(1);
  ASSERT_EQ(began_, ended_ + 1);
  ours_.cancel();
  run_until_ended(began_);
  EXPECT_TRUE(heard_.ends_with("<Operation canceled>")) << heard_;
}

TEST_F(SocketTest, ClosingEndsItsWaits) {
  begin_read();
  ours_.close();
  loop_.turn(false);
  EXPECT_EQ(heard_, "<Operation canceled>");
}

TEST_F(SocketTest, TwoWhoWaitForTheSameAreServedOneAfterTheOther) {
  begin_read(1);
  begin_read(1);
  say("ab");
  run_until_ended(2);
  EXPECT_EQ(heard_, "ab");
}

TEST_F(SocketTest, KnowsWhetherThePeerIsSilentSpokeOrLeft) {
  EXPECT_TRUE(ours_.is_open_and_silent());
  EXPECT_TRUE(ours_.look_if_open_and_silent());
  say("unasked");
  EXPECT_FALSE(ours_.look_if_open_and_silent());
  loop_.turn(true);
  EXPECT_FALSE(ours_.is_open_and_silent());
  EXPECT_FALSE(ours_.peer_has_left());
  begin_read();
  EXPECT_TRUE(ours_.is_open_and_silent());
  close_peer();
  EXPECT_FALSE(ours_.look_if_open_and_silent());
  loop_.turn(true);
  EXPECT_FALSE(ours_.is_open_and_silent());
  EXPECT_TRUE(ours_.peer_has_left());
}

// A read that just fills its space leaves in doubt whether there is more.
TEST_F(SocketTest, LooksWhereTheLastReadLeftItInDoubt) {
  say("abcd");
  loop_.turn(true);
  begin_read(4);
  EXPECT_EQ(heard_, "abcd");
  EXPECT_TRUE(ours_.is_open_and_silent());
  say("!");
  loop_.turn(true);
  EXPECT_FALSE(ours_.is_open_and_silent());
}

TEST_F(SocketTest, SendsAllOfItAsThePeerMakesRoom) {
  const std::string text(4 << 20, 'y');
  loop_.spawn(send_all("head ", text), expect_no_failure);
  EXPECT_EQ(ended_, 0);
  std::string heard;
  std::string piece(1 << 16, '\0');
  while (heard.size() < text.size() + 5) {
    const ssize_t got = ::recv(peer_, piece.data(), piece.size(), MSG_DONTWAIT);
    if (got > 0) heard.append(piece, 0, static_cast<std::size_t>(got));
    loop_.turn(false);
  }
  run_until_ended(1);
  EXPECT_FALSE(failed_);
  EXPECT_EQ(heard, "head " + text);
}

// The room came while nobody waited for it, and makes no second event.
TEST_F(SocketTest, RoomThatCameBetweenTwoWaitsIsNotForgotten) {
  const std::string text(4 << 20, 'y');
  Outgoing out;
  out.add(text);
  while (!failed_) out.send_some(ours_.native_handle(), failed_);
  loop_.spawn(wait_for_room(true), expect_no_failure);
  ours_.cancel();
  std::string piece(1 << 16, '\0');
  while (::recv(peer_, piece.data(), piece.size(), MSG_DONTWAIT) > 0) continue;
  run_until_ended(1);
  EXPECT_EQ(failed_, asio::error::operation_aborted);
  loop_.spawn(wait_for_room(false), expect_no_failure);
  run_until_ended(2);
  EXPECT_FALSE(failed_);
}

TEST_F(SocketTest, WhoWaitsForAnErrorDoesNotHearBytes) {
  loop_.spawn(wait_for_error(), expect_no_failure);
  say("bytes");
  loop_.turn(true);
  EXPECT_EQ(ended_, 0);
  close_peer();  // of this kind of socket: both ways
  run_until_ended(1);
  EXPECT_FALSE(failed_);
}

class ListenerTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_FALSE(listener_.listen(loop_, kAnyPort, 64)); }
  Task<void> accept(int count) {
    for (int i = 0; i < count; ++i) {
      auto [error, socket, from] = co_await listener_.accept();
      if (error) {
        errors_.push_back(error);
        co_return;
      }
      peers_.insert(from.port());
      accepted_.push_back(std::move(socket));
    }
  }
  Task<void> wait_for_error() { errors_.push_back(co_await accepted_[0].wait_until(Watch::kBroken)); }
  Task<void> connect(Socket& socket, Endpoint to) { connected_.push_back(co_await socket.connect(loop_, to)); }

  Loop loop_;
  Listener listener_;
  std::vector<Socket> accepted_;
  std::vector<error_code> errors_;
  std::vector<error_code> connected_;
  std::set<std::uint16_t> peers_;
};

TEST_F(ListenerTest, AcceptsAllWhoConnectAndKnowsTheirAddresses) {
  std::vector<Socket> clients(20);
  for (Socket& client : clients) loop_.spawn(connect(client, listener_.local_endpoint()), expect_no_failure);
  loop_.spawn(accept(20), expect_no_failure);
  while (accepted_.size() < 20 || connected_.size() < 20) loop_.turn(true);
  for (const error_code& error : connected_) EXPECT_FALSE(error) << error.message();
  EXPECT_EQ(peers_.size(), 20U);
}

TEST_F(ListenerTest, TellsThatNobodyListens) {
  const Endpoint there = listener_.local_endpoint();
  listener_.close();
  Socket client;
  loop_.spawn(connect(client, there), expect_no_failure);
  while (connected_.empty()) loop_.turn(true);
  EXPECT_EQ(connected_[0], asio::error::connection_refused);
}

TEST_F(ListenerTest, ItsCloseEndsTheWait) {
  loop_.spawn(accept(1), expect_no_failure);
  listener_.close();
  loop_.turn(false);
  ASSERT_EQ(errors_.size(), 1U);
  EXPECT_EQ(errors_[0], asio::error::operation_aborted);
}

TEST_F(ListenerTest, SharesItsPortWithOthersOfItsKindOnly) {
  Listener second;
  EXPECT_FALSE(second.listen(loop_, listener_.local_endpoint(), 64));
  EXPECT_EQ(second.local_endpoint(), listener_.local_endpoint());
  const int alone = ::socket(AF_INET, SOCK_STREAM, 0);
  const Endpoint there = listener_.local_endpoint();
  EXPECT_NE(::bind(alone, there.data(), static_cast<socklen_t>(there.size())), 0);
  ::close(alone);
}

TEST_F(ListenerTest, AResetIsHeardByWhoWaitsForOne) {
  Socket client;
  loop_.spawn(connect(client, listener_.local_endpoint()), expect_no_failure);
  loop_.spawn(accept(1), expect_no_failure);
  while (accepted_.empty() || connected_.empty()) loop_.turn(true);
  loop_.spawn(wait_for_error(), expect_no_failure);
  const linger at_once{1, 0};
  ASSERT_EQ(::setsockopt(client.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  client.close();
  while (errors_.empty()) loop_.turn(true);
  EXPECT_FALSE(errors_[0]) << errors_[0].message();
  EXPECT_TRUE(accepted_[0].peer_has_left());
}

}  // namespace
}  // namespace tollgate::net
