// What settlements write waits in memory: whoever reads it sees it, and nothing of what was taken back is written
// later.
#include <gtest/gtest.h>

#include "tests/billing/settlement_fixture.h"

namespace tollgate::billing {
namespace {

class WaitingRows : public SettlementTest {
 protected:
  WaitingRows() {
    subscribe("cut");
    use("cut", "2021-08-25T10:30:00+08:00", 1'000);
    hour = hour_of(at("2021-08-25T10:30:00+08:00"));
    number = subscription("cut").number;
  }

  // `points` of the hour, paid by one transfer.
  void settle(std::int32_t revision, std::int64_t points) {
    Settlement settlement;
    settlement.account = "acme";
    settlement.hour = hour;
    settlement.revision = revision;
    settlement.reference = "reference-" + std::to_string(revision);
    settlement.at = begin_of(hour.next());
    settlement.plan = "plan";
    settlement.billable_points = Points(points);
    settlement.month_points_before = Points(7);
    settlement.month_points_after = Points(7 + points);
    settlement.amount = MicroYuan(points * 2);
    settlement.parts.push_back({PaidFrom::tier, "", Points(points), 0, MicroYuan(2), settlement.amount});
    const std::int64_t transfer = store->post(
        "acme", {0, settlement.at, "cash:acme", "income:usage", settlement.amount, "usage", settlement.reference});
    store->insert_settlement(std::move(settlement), number, transfer, 1);
  }

  template <class Body>
  void in_transaction(Body body) {
    ASSERT_TRUE(store
                    ->transaction([&]() -> Result<void> {
                      body();
                      return {};
                    })
                    .has_value());
  }

  // A trigger refuses every row of the audit log but the next one.
  Result<void> log_change(std::int64_t sequence) {
    AuditRow row;
    row.sequence = sequence;
    row.at = clock.now();
    row.change = {"admin", "192.0.2.7", "adm-1", "PUT", "/v1/accounts/acme", "{}"};
    row.outcome.status = 200;
    row.previous_hash = std::string(64, '0');
    row.hash = std::string(64, 'a');
    return store->transaction([&]() -> Result<void> {
      store->insert_audit_row(row);
      return {};
    });
  }

  Hour hour;
  std::uint32_t number = 0;
};

// More than may wait at once.
TEST_F(WaitingRows, VeryManyOfOneTransactionAreAllThere) {
  constexpr std::int32_t kSettlements = 4'500;
  in_transaction([&] {
    for (std::int32_t revision = 1; revision <= kSettlements; ++revision) settle(revision, 3);
    EXPECT_EQ(store->month_points(number, month_of(hour)), Points(3 * kSettlements));
    EXPECT_EQ(store->balance("income:usage"), MicroYuan(6 * kSettlements));
  });
  in_transaction([&] {
    EXPECT_EQ(store->month_points(number, month_of(hour)), Points(3 * kSettlements));
    EXPECT_EQ(store->balance("income:usage"), MicroYuan(6 * kSettlements));
    for (const std::int32_t revision : {1, 2'000, 2'001, kSettlements}) {
      const auto settlement = store->find_settlement({number, hour, revision});
      ASSERT_TRUE(settlement.has_value()) << revision;
      EXPECT_EQ(settlement->parts.size(), 1U);
    }
  });
}

TEST_F(WaitingRows, ASettlementIsReadAsItWasPostedInTheSameTransaction) {
  in_transaction([&] {
    settle(1, 600);
    EXPECT_EQ(store->balance("cash:acme"), MicroYuan(-1'200));
    EXPECT_EQ(store->balance("income:usage"), MicroYuan(1'200));
    const auto settlement = store->find_settlement({number, hour, 1});
    ASSERT_TRUE(settlement.has_value());
    EXPECT_EQ(settlement->plan, "plan");
    EXPECT_EQ(settlement->billable_points, Points(600));
    EXPECT_EQ(settlement->month_points_before, Points(7));
    EXPECT_EQ(settlement->month_points_after, Points(607));
    ASSERT_EQ(settlement->parts.size(), 1U);
    EXPECT_EQ(settlement->parts[0].points, Points(600));
    EXPECT_EQ(settlement->parts[0].unit_price, MicroYuan(2));
    ASSERT_EQ(settlement->transfers.size(), 1U);
    EXPECT_EQ(settlement->transfers[0].debit, "cash:acme");
    EXPECT_EQ(settlement->transfers[0].credit, "income:usage");
    EXPECT_EQ(settlement->transfers[0].reference, "reference-1");
    EXPECT_EQ(store->balance("cash:acme"), MicroYuan(-1'200));
  });
}

TEST_F(WaitingRows, TheTierPositionCountsWhatWaits) {
  in_transaction([&] {
    settle(1, 600);
    settle(2, 100);
    EXPECT_EQ(store->month_points(number, month_of(hour)), Points(700));
    EXPECT_EQ(store->month_points(number, next(month_of(hour))), Points());
    EXPECT_EQ(store->month_points(number + 1, month_of(hour)), Points());
    EXPECT_TRUE(store->find_settlement({number, hour, 1}).has_value());  // written now
    EXPECT_EQ(store->month_points(number, month_of(hour)), Points(700));
  });
}

TEST_F(WaitingRows, RevisionsThatAreWrittenTogetherAddUp) {
  in_transaction([&] {
    settle(1, 600);
    settle(2, 300);
  });
  in_transaction([&] {
    EXPECT_EQ(store->hour_usage(number, hour).settled_billable, Points(900));
    const auto open = store->open_usage_of("acme", hour, month_of(hour));
    ASSERT_EQ(open.size(), 1U);
    EXPECT_EQ(open[0].billable_points, Points(100));
    EXPECT_EQ(open[0].revision, 2);
    settle(3, 100);
  });
  in_transaction([&] { EXPECT_FALSE(store->oldest_open_hour().has_value()); });
}

TEST_F(WaitingRows, OpenUsageHasTheModelThatItsServiceHasNow) {
  const auto model = [&] { return store->open_usage_of("acme", hour, month_of(hour)).at(0).model; };
  const auto change_to = [&](const char* other) {
    auto row = store->find_service("cut").value();
    row.model = other;
    store->put_service(row);
  };
  in_transaction([&] {
    EXPECT_EQ(model(), store->find_service("cut")->model);
    change_to("another");
    EXPECT_EQ(model(), "another");
    const auto part = store->transaction([&]() -> Result<void> {
      change_to("taken back");
      EXPECT_EQ(model(), "taken back");
      return Fault{};
    });
    EXPECT_TRUE(part.has_error());
    EXPECT_EQ(model(), "another");
  });
}

TEST_F(WaitingRows, AnHourThatWaitsIsNotOpen) {
  in_transaction([&] {
    settle(1, 1'000);
    EXPECT_TRUE(store->open_usage_of("acme", hour, month_of(hour)).empty());
  });
}

TEST_F(WaitingRows, WhatATransactionTookBackIsNeverWritten) {
  const auto taken_back = store->transaction([&]() -> Result<void> {
    settle(1, 600);
    return Fault{};
  });
  EXPECT_TRUE(taken_back.has_error());
  in_transaction([&] {
    EXPECT_FALSE(store->find_settlement({number, hour, 1}).has_value());
    EXPECT_TRUE(store->transfers("acme", 0, 10).empty());
    EXPECT_EQ(store->balance("cash:acme"), MicroYuan());
    EXPECT_EQ(store->month_points(number, month_of(hour)), Points());
  });
}

// So many that they are written without the triggers.
TEST_F(WaitingRows, VeryManyRowsAreRefusedToReplaceOthersAsFewAre) {
  const auto settle_400 = [&](std::int32_t first) -> Result<void> {
    for (std::int32_t revision = first; revision < first + 400; ++revision) settle(revision, 1);
    return {};
  };
  ASSERT_TRUE(store->transaction([&] { return settle_400(1); }).has_value());
  const auto again = store->transaction([&] { return settle_400(400); });
  ASSERT_TRUE(again.has_error());
  EXPECT_EQ(again.error().code, "store_failed");
  in_transaction([&] {
    EXPECT_EQ(store->hour_usage(number, hour).settled_billable, Points(400));
    EXPECT_FALSE(store->find_settlement({number, hour, 401}).has_value());
    EXPECT_EQ(store->balance("cash:acme"), MicroYuan(-800));
  });
}

TEST_F(WaitingRows, AfterVeryManyRowsTheTriggersAreThereAgain) {
  for (const std::int32_t first : {1, 1}) {  // the second time it fails
    (void)store->transaction([&]() -> Result<void> {
      for (std::int32_t revision = first; revision < first + 400; ++revision) settle(revision, 1);
      return {};
    });
    EXPECT_TRUE(log_change(1'000).has_error());
  }
  EXPECT_TRUE(log_change(1).has_value());
}

TEST_F(WaitingRows, APartThatIsTakenBackLeavesWhatWaitedBeforeIt) {
  in_transaction([&] {
    settle(1, 600);
    const auto part = store->transaction([&]() -> Result<void> {
      settle(2, 100);
      return Fault{};
    });
    EXPECT_TRUE(part.has_error());
  });
  in_transaction([&] {
    EXPECT_TRUE(store->find_settlement({number, hour, 1}).has_value());
    EXPECT_FALSE(store->find_settlement({number, hour, 2}).has_value());
    EXPECT_EQ(store->month_points(number, month_of(hour)), Points(600));
  });
}

}  // namespace
}  // namespace tollgate::billing
