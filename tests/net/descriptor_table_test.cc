#include "net/descriptor_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

namespace tollgate::net {
namespace {

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

class DescriptorTable : public testing::Test {
 protected:
  DescriptorTable() {
    EXPECT_EQ(::pipe(kept_.data()), 0);
    EXPECT_EQ(::pipe(others_.data()), 0);
  }
  ~DescriptorTable() override {
    for (const int descriptor : {kept_[0], kept_[1], others_[0], others_[1]}) ::close(descriptor);
  }

  // Runs `then` on a thread that has taken kept_ along.
  template <class Then>
  void on_a_thread_of_its_own(Then then) {
    std::thread([&] {
      ASSERT_FALSE(own_descriptors({kept_[1], kept_[0]}));
      then();
    }).join();
  }

  std::array<int, 2> kept_{};
  std::array<int, 2> others_{};
};

TEST_F(DescriptorTable, HasCopiesOfWhatIsKeptAndOfTheStandardOnesAndNothingElse) {
  const int stdin_copy = ::open("/dev/null", O_RDONLY);  // whatever the test was started with
  on_a_thread_of_its_own([&] {
    for (int descriptor = 0; descriptor < 200; ++descriptor) {
      const bool wanted = descriptor <= STDERR_FILENO || descriptor == kept_[0] || descriptor == kept_[1];
      if (!wanted) {
        EXPECT_FALSE(is_open(descriptor)) << descriptor;
      }
    }
    EXPECT_EQ(::write(kept_[1], "x", 1), 1);
    char got = 0;
    EXPECT_EQ(::read(kept_[0], &got, 1), 1);
    EXPECT_EQ(got, 'x');
  });
  EXPECT_TRUE(is_open(stdin_copy));
  ::close(stdin_copy);
}

TEST_F(DescriptorTable, IsNoOtherThreads) {
  on_a_thread_of_its_own([&] {
    ::close(kept_[0]);
    EXPECT_EQ(::dup2(kept_[1], others_[0]), others_[0]);  // a number that is another thing there
  });
  EXPECT_TRUE(is_open(kept_[0]));
  EXPECT_EQ(::write(others_[1], "y", 1), 1);
  char got = 0;
  EXPECT_EQ(::read(others_[0], &got, 1), 1);
  EXPECT_EQ(got, 'y');
}

// A handler could look for its descriptors in the wrong table.
TEST_F(DescriptorTable, HasNoSignalsOfTheProcess) {
  on_a_thread_of_its_own([] {
    sigset_t blocked;
    ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, nullptr, &blocked), 0);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1}) {
      EXPECT_EQ(sigismember(&blocked, signal), 1) << signal;
    }
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
      EXPECT_EQ(sigismember(&blocked, signal), 0) << signal;
    }
  });
}

// With the thread ends its table: nobody else has to close what it left open.
TEST_F(DescriptorTable, EndsWithItsThread) {
  on_a_thread_of_its_own([] {});
  ::close(kept_[1]);
  char got = 0;
  EXPECT_EQ(::read(kept_[0], &got, 1), 0) << "a copy of the other end is open still";
}

}  // namespace
}  // namespace tollgate::net
