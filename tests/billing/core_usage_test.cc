#include <rapidcheck.h>

#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>
#include <limits>
#include <random>

#include "tests/billing/core_fixture.h"

namespace tollgate::billing {
namespace {

class CoreUsage : public CoreTest {
 protected:
  CoreUsage() {
    make_acme(true);
    number = vision().number;
    epoch = core->open_epoch("gw-1");
  }
  Result<void> own(Hour hour, const meter::UsageTotals& reported) {
    return core->merge({"gw-1", epoch, {{number, hour, reported}}});
  }
  std::vector<UsageRow> all_usage() {
    return core->usage("acme", std::nullopt, at("2000-01-01T00:00:00Z"), at("2100-01-01T00:00:00Z"), std::nullopt, 1000)
        .value()
        .items;
  }
  meter::UsageTotals sum(Hour hour) {
    const auto page = core->usage("acme", std::nullopt, begin_of(hour), begin_of(hour.next()), std::nullopt, 1).value();
    return page.items.empty() ? meter::UsageTotals{} : page.items[0].totals;
  }
  std::uint32_t number = 0;
  std::uint32_t epoch = 0;
  const Hour ten = hour_of(at("2021-08-25T10:00:00+08:00"));
};

TEST_F(CoreUsage, EpochsOnlyGrowOverAllGatewaysAndRestarts) {
  const auto other = core->open_epoch("gw-2");
  EXPECT_GT(other, epoch);
  reopen();
  EXPECT_GT(core->open_epoch("gw-1"), other);
  EXPECT_EQ(core->open_epoch("No Id"), 0u);
}

// After a power cut the journal may hold a call as open, which counts as failed, that was merged as ended.
TEST_F(CoreUsage, ACallThatIsKnownToHaveEndedHasNotFailedBesides) {
  ASSERT_TRUE(own(ten, totals(4, 1, 20, 0, 2)).has_value());
  ASSERT_TRUE(own(ten, totals(3, 3, 20, 0, 1)).has_value());
  EXPECT_EQ(sum(ten), totals(4, 1, 20, 0, 2));
  ASSERT_TRUE(own(ten, totals(3, 5, 24, 0, 1)).has_value()) << "two more calls than were known";
  EXPECT_EQ(sum(ten), totals(4, 3, 24, 0, 2));
}

TEST_F(CoreUsage, ASubscriptionHasUsedNothingBeforeItWasThere) {
  const Hour created = hour_of(clock.now());
  EXPECT_TRUE(core->may_have_used(number, created).value());
  EXPECT_FALSE(core->may_have_used(number, Hour{created.since_epoch - 1}).value());
  EXPECT_FALSE(core->may_have_used(number + 1, created).value());
}

// A journal knows its epochs by their nonces: a store that was restored from an older copy gives numbers out again.
TEST_F(CoreUsage, AnEpochIsTakenOverUnderTheNumberItWasGivenOutWithOrOneOfItsOwn) {
  const auto known = core->open_epoch("gw-1", 1234, 0).value();
  EXPECT_EQ(core->take_over_epoch("gw-1", 1234)->epoch, known);
  EXPECT_TRUE(core->take_over_epoch("gw-1", 1234)->given_out_here);
  const auto fresh = core->take_over_epoch("gw-1", 5678).value();
  EXPECT_GT(fresh.epoch, known);
  EXPECT_FALSE(fresh.given_out_here);
  reopen();
  EXPECT_EQ(core->take_over_epoch("gw-1", 5678)->epoch, fresh.epoch) << "the same at every start";
  // One whose nonce was lost is known by its number, if that was given out to this gateway.
  EXPECT_EQ(core->take_over_epoch("gw-1", 77, known)->epoch, known);
  EXPECT_GT(core->take_over_epoch("gw-2", 78, known)->epoch, fresh.epoch);
  EXPECT_EQ(core->open_epoch("gw-1", 9, 900).value(), 901u) << "above what the journal holds";
  EXPECT_EQ(core->open_epoch("gw-1"), 902u);
}

TEST_F(CoreUsage, TheLargerTotalStaysAndRepeatsChangeNothing) {
  ASSERT_TRUE(own(ten, totals(10, 2, 48, 0)).has_value());
  ASSERT_TRUE(own(ten, totals(10, 2, 48, 0)).has_value());
  ASSERT_TRUE(own(ten, totals(7, 1, 32, 0)).has_value());  // late
  ASSERT_TRUE(own(ten, totals(12, 2, 48, 8, 5)).has_value());
  const auto rows = all_usage();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].service, "vision");
  EXPECT_EQ(rows[0].hour, ten);
  EXPECT_EQ(rows[0].totals, totals(12, 2, 48, 8, 5));
  EXPECT_EQ(rows[0].settled, Points());
  EXPECT_EQ(vision().free_points_left, Points(10'000 - 48));
  EXPECT_TRUE(sink.used_elsewhere.empty());  // the journal's own process has counted them already
  expect_audit_holds();
}

TEST_F(CoreUsage, GatewaysAndEpochsAddUp) {
  ASSERT_TRUE(own(ten, totals(1, 0, 4, 0)).has_value());
  const auto next = core->open_epoch("gw-1");
  ASSERT_TRUE(core->merge({"gw-1", next, {{number, ten, totals(2, 0, 8, 0)}}}).has_value());
  const auto foreign = core->open_epoch("gw-2");
  ASSERT_TRUE(core->merge("gw-2", foreign, {{"acme", "vision", ten, totals(4, 0, 16, 0)}}).has_value());
  EXPECT_EQ(all_usage().at(0).totals, totals(7, 0, 28, 0));
  expect_audit_holds();
}

TEST_F(CoreUsage, OtherGatewaysFreePointsAreToldByTheirIncrease) {
  const auto foreign = core->open_epoch("gw-2");
  const auto report = [&](std::int64_t free) {
    return core->merge("gw-2", foreign, {{"acme", "vision", ten, totals(0, 1, free, 0)}});
  };
  ASSERT_TRUE(report(40).has_value());
  ASSERT_TRUE(report(40).has_value());
  ASSERT_TRUE(report(60).has_value());
  EXPECT_EQ(sink.used_elsewhere, (std::vector<std::pair<std::uint32_t, std::int64_t>>{{number, 40}, {number, 20}}));
  ASSERT_TRUE(report(20'000).has_value());  // an import may use more than there was; left is never below 0
  EXPECT_EQ(vision().free_points_left, Points());
}

TEST_F(CoreUsage, NothingIsTakenOfAReportWithAFault) {
  ASSERT_TRUE(core->put_account("other", "Other").has_value());
  const NamedUsage good{"acme", "vision", ten, totals(1, 0, 4, 0)};
  const auto with = [&](NamedUsage bad) { return core->merge("gw-1", epoch, {good, std::move(bad)}); };
  EXPECT_EQ(code_of(with({"nobody", "vision", ten, {}})), "account_not_found");
  EXPECT_EQ(code_of(with({"acme", "nothing", ten, {}})), "service_not_found");
  EXPECT_EQ(code_of(with({"other", "vision", ten, {}})), "subscription_not_found");
  EXPECT_EQ(field_of(with({"acme", "vision", ten, totals(-1, 0, 0, 0)})), "totals[1].calls_succeeded");
  EXPECT_EQ(field_of(with({"acme", "vision", ten, totals(0, 0, 0, kUsageTotalMax + 1)})), "totals[1].billable_points");
  EXPECT_EQ(field_of(core->merge("Gw", epoch, {good})), "gateway");
  EXPECT_EQ(code_of(core->merge({"gw-1", epoch, {{number, ten, totals(1, 0, 4, 0)}, {99, ten, {}}}})),
            "subscription_not_found");
  EXPECT_EQ(field_of(own(ten, totals(0, -5, 0, 0))), "totals[0].calls_failed");
  EXPECT_TRUE(all_usage().empty());
  EXPECT_TRUE(sink.used_elsewhere.empty());
  EXPECT_TRUE(own(ten, totals(kUsageTotalMax, 0, 0, 0)).has_value());
}

TEST_F(CoreUsage, AnEpochThatWasNeverGivenOutIsRefused) {
  const auto foreign = core->open_epoch("gw-2");
  for (const std::int64_t bad :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{foreign} + 1, std::int64_t{foreign},
        std::int64_t{epoch} + (std::int64_t{1} << 32), std::numeric_limits<std::int64_t>::max()}) {
    const auto merged = core->merge("gw-1", bad, {{"acme", "vision", ten, totals(1, 0, 4, 0)}});
    EXPECT_EQ(code_of(merged), "unknown_epoch") << bad;
    EXPECT_EQ(merged.error().kind, FaultKind::conflict);
  }
  EXPECT_EQ(code_of(core->merge({"gw-1", foreign, {}})), "unknown_epoch");
  EXPECT_TRUE(core->merge("gw-1", epoch, {}).has_value());
  EXPECT_TRUE(all_usage().empty());
}

TEST_F(CoreUsage, UsageOfARemovedServiceIsStillTakenAndShown) {
  ASSERT_TRUE(own(ten, totals(1, 0, 4, 0)).has_value());
  ASSERT_TRUE(core->delete_service("vision").has_value());
  ASSERT_TRUE(own(ten, totals(2, 0, 8, 0)).has_value());
  ASSERT_TRUE(core->merge("gw-1", epoch, {{"acme", "vision", ten.next(), totals(1, 0, 4, 0)}}).has_value());
  EXPECT_EQ(all_usage().size(), 2u);
  EXPECT_TRUE(core->usage("acme", "vision", begin_of(ten), begin_of(ten.next()), std::nullopt, 10).has_value());
}

TEST_F(CoreUsage, UsageIsHalfOpenByHourAndOrderedAndPaged) {
  ASSERT_TRUE(core->put_service("audio", "sound-classification", "{}").has_value());
  ASSERT_TRUE(core->put_subscription("acme", "audio", true, std::nullopt).has_value());
  const Hour eleven = ten.next();
  const Hour twelve = eleven.next();
  ASSERT_TRUE(core->merge("gw-1", epoch,
                          {{"acme", "vision", eleven, totals(1, 0, 0, 4)},
                           {"acme", "vision", ten, totals(1, 0, 0, 4)},
                           {"acme", "audio", ten, totals(1, 0, 0, 4)},
                           {"acme", "audio", twelve, totals(1, 0, 0, 4)}})
                  .has_value());
  const auto list = [&](WallTime from, WallTime to, std::optional<std::string> service = std::nullopt) {
    std::string text;
    std::optional<std::string> after;
    do {
      const auto page = core->usage("acme", service, from, to, after, 1).value();
      for (const auto& row : page.items) {
        text += row.service + std::to_string(row.hour.since_epoch - ten.since_epoch) + " ";
      }
      after = page.next;
    } while (after);
    return text;
  };
  const auto step = std::chrono::microseconds(1);
  EXPECT_EQ(list(begin_of(ten), begin_of(twelve.next())), "audio0 vision0 vision1 audio2 ");
  EXPECT_EQ(list(begin_of(ten), begin_of(twelve)), "audio0 vision0 vision1 ");
  EXPECT_EQ(list(begin_of(ten) + step, begin_of(twelve) + step), "vision1 audio2 ");
  EXPECT_EQ(list(begin_of(ten), begin_of(twelve), "vision"), "vision0 vision1 ");
  EXPECT_EQ(list(begin_of(ten), begin_of(ten)), "");
  EXPECT_EQ(field_of(core->usage("acme", std::nullopt, begin_of(eleven), begin_of(ten), std::nullopt, 10)), "to");
  EXPECT_EQ(field_of(core->usage("acme", std::nullopt, begin_of(ten), begin_of(ten), "x", 10)), "after");
  EXPECT_EQ(code_of(core->usage("acme", "nothing", begin_of(ten), begin_of(ten), std::nullopt, 10)),
            "service_not_found");
  EXPECT_EQ(code_of(core->usage("nobody", std::nullopt, begin_of(ten), begin_of(ten), std::nullopt, 10)),
            "account_not_found");
}

// The rule that makes usage safe to report: any cut, order and repetition of the same counting gives the same usage.
TEST_F(CoreUsage, AnyOrderCutAndRepetitionOfReportsGivesTheSameUsage) {
  const bool held = rc::check([this](std::uint32_t seed) {
    // A gateway counts, and reports its cumulative totals now and then; its hour is different for each case.
    const Hour hour{static_cast<std::int32_t>(*rc::gen::inRange(400'000, 500'000))};
    const auto deltas = *rc::gen::resize(12, rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 1000)));
    const auto fresh = core->open_epoch("gw-1");
    std::vector<meter::UsageReport> reports;
    meter::UsageTotals running;
    for (const int delta : deltas) {
      running.calls_succeeded += delta;
      running.calls_failed += delta % 3;
      running.calls_unmetered += delta % 2;
      running.free_points += Points(delta % 7);
      running.billable_points += Points(4 * delta);
      reports.push_back({"gw-1", fresh, {{number, hour, running}}});
    }
    const auto before = sum(hour);
    std::vector<meter::UsageReport> sent = reports;
    sent.insert(sent.end(), reports.begin(), reports.end());
    std::shuffle(sent.begin(), sent.end(), std::mt19937(seed));
    if (sent.size() > 2) {  // two reports in one
      sent[0].entries.push_back(sent[1].entries[0]);
    }
    for (const auto& report : sent) RC_ASSERT(core->merge(report).has_value());
    const auto after = sum(hour);
    RC_ASSERT(after.calls_succeeded - before.calls_succeeded == running.calls_succeeded);
    RC_ASSERT(after.calls_failed - before.calls_failed == running.calls_failed);
    RC_ASSERT(after.calls_unmetered - before.calls_unmetered == running.calls_unmetered);
    RC_ASSERT(after.free_points - before.free_points == running.free_points);
    RC_ASSERT(after.billable_points - before.billable_points == running.billable_points);
  });
  EXPECT_TRUE(held);
  for (const auto& invariant : core->audit()) {
    if (invariant.name == "free_points_over_grant") continue;  // the made-up counting knows no quota
    EXPECT_TRUE(invariant.ok) << invariant.name;
  }
}

TEST_F(CoreUsage, TheAuditNamesWhatDoesNotHold) {
  deposit("5");
  ASSERT_TRUE(own(ten, totals(1, 0, 4, 8)).has_value());
  expect_audit_holds();
  close();
  {
    SQLite::Database tampered(folder.path() + "/tollgate.db", SQLite::OPEN_READWRITE);
    tampered.exec("UPDATE balances SET credits = credits + 1 WHERE ledger_account = 'cash:acme'");
    tampered.exec("UPDATE deposits SET amount = amount + 1");
    tampered.exec("UPDATE usage_hours SET billable_points = billable_points - 1");
    tampered.exec("UPDATE subscriptions SET free_points_used = 10001, free_points_counted = 10001");
  }
  open();
  std::vector<std::string> broken;
  for (const auto& invariant : core->audit()) {
    if (!invariant.ok) broken.push_back(invariant.name);
  }
  EXPECT_EQ(broken,
            (std::vector<std::string>{"ledger_debits_equal_credits", "ledger_balances_off_from_transfers",
                                      "deposits_equal_transfers", "deposits_without_their_transfer", "points_metered",
                                      "free_points_used", "free_points_used_off_by_subscription",
                                      "usage_hours_off_from_reports", "free_points_over_grant"}));
}

}  // namespace
}  // namespace tollgate::billing
