#include "tests/billing/core_fixture.h"

namespace tollgate::billing {
namespace {

class CoreOnce : public CoreTest {
 protected:
  CoreOnce() { make_acme(true); }
  std::function<StoredAnswer()> depositing(std::string amount, int status = 201) {
    return [this, amount, status] {
      ++runs;
      deposit(amount);
      return StoredAnswer{status, "run " + std::to_string(runs)};
    };
  }
  int runs = 0;
};

TEST_F(CoreOnce, TheSameKeyAndRequestGivesTheFirstAnswerAgain) {
  const auto first = core->once("k1", "POST /deposits 5", depositing("5")).value();
  EXPECT_EQ(first.status, 201);
  reopen();
  const auto again = core->once("k1", "POST /deposits 5", depositing("5")).value();
  EXPECT_EQ(again.status, 201);
  EXPECT_EQ(again.body, "run 1");
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(cash(), yuan("5"));
  ASSERT_TRUE(core->once("k2", "POST /deposits 5", depositing("5")).has_value());
  EXPECT_EQ(cash(), yuan("10"));
}

TEST_F(CoreOnce, TheSameKeyWithAnotherRequestIsUnprocessable) {
  ASSERT_TRUE(core->once("k1", "5", depositing("5")).has_value());
  const auto other = core->once("k1", "6", depositing("6"));
  EXPECT_EQ(code_of(other), "idempotency_key_reused");
  EXPECT_EQ(other.error().kind, FaultKind::unprocessable);
  EXPECT_EQ(cash(), yuan("5"));
}

TEST_F(CoreOnce, ADecisionOnTheStateIsKeptWithoutWrites) {
  for (const int status : {402, 409, 410}) {
    const std::string key = "k" + std::to_string(status);
    EXPECT_EQ(core->once(key, "f", depositing("5", status))->status, status);
    EXPECT_EQ(core->once(key, "f", depositing("5"))->status, status);
  }
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(cash(), MicroYuan());
}

TEST_F(CoreOnce, AFaultOfTheRequestIsForgottenAndItsWritesTakenBack) {
  const auto events = sink.count();
  for (const int status : {400, 404, 503}) EXPECT_EQ(core->once("k", "bad", depositing("5", status))->status, status);
  EXPECT_EQ(cash(), MicroYuan());
  EXPECT_EQ(sink.count(), events);
  EXPECT_EQ(core->once("k", "corrected", depositing("5"))->status, 201);
  EXPECT_EQ(cash(), yuan("5"));
}

TEST_F(CoreOnce, ChangesArePublishedAfterTheCommitOnly) {
  const auto before = sink.subscriptions.size();
  ASSERT_TRUE(core->once("k", "f",
                         [&] {
                           EXPECT_TRUE(core->put_subscription("acme", "vision", false, std::nullopt).has_value());
                           EXPECT_EQ(vision().state, SubscriptionState::free);  // the work sees its own writes
                           EXPECT_EQ(sink.subscriptions.size(), before);
                           return StoredAnswer{200, ""};
                         })
                  .has_value());
  EXPECT_EQ(sink.subscriptions.size(), before + 1);
  ASSERT_TRUE(core->once("k-refused", "f",
                         [&] {
                           EXPECT_TRUE(core->put_subscription("acme", "vision", true, std::nullopt).has_value());
                           return StoredAnswer{409, ""};
                         })
                  .has_value());
  EXPECT_EQ(sink.subscriptions.size(), before + 1);
  EXPECT_EQ(vision().state, SubscriptionState::free);
}

TEST_F(CoreOnce, AFaultInsideTheWorkLeavesItsOtherWrites) {
  ASSERT_TRUE(core->once("k", "f",
                         [&] {
                           deposit("5");
                           EXPECT_TRUE(core->deposit("acme", MicroYuan(), DepositKind::cash, std::nullopt).has_error());
                           return StoredAnswer{201, ""};
                         })
                  .has_value());
  EXPECT_EQ(cash(), yuan("5"));
}

TEST_F(CoreOnce, WorkThatThrowsLeavesNothing) {
  const auto events = sink.count();
  EXPECT_THROW(
      (void)core->once("k", "f",
                       [&]() -> StoredAnswer {
                         EXPECT_TRUE(core->put_subscription("acme", "vision", false, std::nullopt).has_value());
                         throw std::runtime_error("work");
                       }),
      std::runtime_error);
  EXPECT_EQ(sink.count(), events);
  EXPECT_EQ(vision().state, SubscriptionState::paid);
  EXPECT_EQ(core->once("k", "f", depositing("1"))->status, 201);
  EXPECT_EQ(sink.count(), events);
}

TEST_F(CoreOnce, AKeyIsVisibleAsciiOfBoundedLength) {
  for (const std::string key : {"", "a b", "a\n", "ü"}) {
    EXPECT_EQ(field_of(core->once(key, "f", depositing("1"))), "Idempotency-Key") << key;
  }
  EXPECT_EQ(field_of(core->once(std::string(256, 'k'), "f", depositing("1"))), "Idempotency-Key");
  EXPECT_EQ(runs, 0);
  EXPECT_TRUE(core->once(std::string(255, 'k'), "f", depositing("1")).has_value());
}

}  // namespace
}  // namespace tollgate::billing
