#include "gateway/stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace tollgate::gateway {
namespace {

// One end of a connection as a stream, with a buffer to read into; the test holds the other end.
class StreamTest : public testing::Test {
 protected:
  StreamTest() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    peer_ = ends[1];
    Socket ours;
    EXPECT_FALSE(ours.open(loop_, ends[0]));
    stream_ = Stream(std::move(ours));
    loop_.turn(true);  // hears that it is writable
    into_.use(pool_);
  }
  ~StreamTest() override { ::close(peer_); }

  void say(std::string_view text) const { ASSERT_EQ(::send(peer_, text.data(), text.size(), 0), std::ssize(text)); }
  Task<void> read() {
    std::tie(error_, got_) = co_await stream_.read_into(into_);
    has_read_ = true;
  }
  void begin_read() {
    has_read_ = false;
    loop_.spawn(read(), [](const std::exception_ptr& failure) { EXPECT_FALSE(failure); });
  }

  net::Loop loop_;
  int peer_ = -1;
  Stream stream_;
  BlockPool pool_{16, 4};
  Buffer into_;
  error_code error_;
  std::size_t got_ = 0;
  bool has_read_ = false;
};

TEST_F(StreamTest, AReadThatWaitsLeavesItsBlockToOthersUntilBytesCome) {
  const char* const block = into_.space().data();
  begin_read();
  EXPECT_FALSE(has_read_);
  EXPECT_FALSE(into_.has_block());
  EXPECT_EQ(pool_.take().get(), block);  // which was the only one, and is gone
  say("bytes");
  loop_.turn(true);
  EXPECT_TRUE(has_read_);
  EXPECT_FALSE(error_);
  EXPECT_EQ(got_, 5U);
  EXPECT_EQ(into_.view(), "bytes");
}

TEST_F(StreamTest, AReadThatWaitsKeepsABlockThatHoldsBytesAndAppendsToThem) {
  say("first,");
  begin_read();
  loop_.turn(true);
  ASSERT_EQ(into_.view(), "first,");
  begin_read();
  EXPECT_FALSE(has_read_);
  EXPECT_TRUE(into_.has_block());
  say("second");
  loop_.turn(true);
  EXPECT_TRUE(has_read_);
  EXPECT_EQ(got_, 6U);
  EXPECT_EQ(into_.view(), "first,second");
}

TEST_F(StreamTest, AReadThatIsCancelledHasReadNothingAndMayBeBegunAgain) {
  begin_read();
  stream_.cancel();
  loop_.turn(true);
  EXPECT_TRUE(has_read_);
  EXPECT_EQ(error_, asio::error::operation_aborted);
  EXPECT_TRUE(into_.empty());
  say("again");
  begin_read();
  loop_.turn(true);
  EXPECT_FALSE(error_);
  EXPECT_EQ(into_.view(), "again");
}

}  // namespace
}  // namespace tollgate::gateway
