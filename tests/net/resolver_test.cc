#include "net/resolver.h"

#include <gtest/gtest.h>

namespace tollgate::net {
namespace {

class LookupTest : public testing::Test {
 protected:
  Task<void> look_up(std::string host) {
    Lookup lookup(resolver_, loop_, std::move(host), 8080);
    lookup_ = &lookup;
    std::tie(error_, found_) = co_await lookup;
    lookup_ = nullptr;
    ended_ = true;
  }
  void begin(std::string host) {
    loop_.spawn(look_up(std::move(host)), [](const std::exception_ptr& failure) { EXPECT_FALSE(failure); });
  }

  Loop loop_;
  Resolver resolver_;
  Lookup* lookup_ = nullptr;
  error_code error_;
  std::vector<Endpoint> found_;
  bool ended_ = false;
};

TEST_F(LookupTest, FindsTheAddressesOfAName) {
  begin("localhost");
  while (!ended_) loop_.turn(true);
  EXPECT_FALSE(error_) << error_.message();
  ASSERT_FALSE(found_.empty());
  for (const Endpoint& each : found_) {
    EXPECT_TRUE(each.address().is_loopback()) << each;
    EXPECT_EQ(each.port(), 8080);
  }
}

TEST_F(LookupTest, TellsThatThereIsNoSuchName) {
  begin("no such name");  // no space in any name: nobody is asked
  while (!ended_) loop_.turn(true);
  EXPECT_TRUE(error_);
  EXPECT_TRUE(found_.empty());
}

TEST_F(LookupTest, ACancelledOneEndsSoonAndWhatComesLaterIsDropped) {
  begin("localhost");
  ASSERT_NE(lookup_, nullptr);
  lookup_->cancel();
  lookup_->cancel();
  loop_.turn(false);
  EXPECT_TRUE(ended_);
  EXPECT_EQ(error_, asio::error::operation_aborted);
  begin("localhost");  // after the first one, on the same thread
  ended_ = false;
  while (!ended_) loop_.turn(true);
  EXPECT_FALSE(error_);
}

TEST_F(LookupTest, MayBeUnderWayAtTheEnd) { begin("localhost"); }

}  // namespace
}  // namespace tollgate::net
