#include "net/resolver.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

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

// How many threads of this process have `descriptor` open.
std::ptrdiff_t threads_with(int descriptor) {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::count_if(begin(tasks), end(tasks), [&](const auto& task) {
    return std::filesystem::exists(std::filesystem::symlink_status(task.path() / "fd" / std::to_string(descriptor)));
  });
}

// The loop's thread may have a table that the kernel counts no references in, as long as it is its own.
TEST_F(LookupTest, LeavesTheLoopsThreadItsDescriptorsAlone) {
  const int descriptor = ::eventfd(0, EFD_CLOEXEC);
  const auto before = threads_with(descriptor);
  begin("localhost");
  while (!ended_) loop_.turn(true);
  EXPECT_FALSE(error_) << error_.message();
  EXPECT_EQ(threads_with(descriptor), before);
  ::close(descriptor);
}

TEST_F(LookupTest, MayBeUnderWayAtTheEnd) { begin("localhost"); }

}  // namespace
}  // namespace tollgate::net
