#include "tests/billing/core_fixture.h"

namespace tollgate::billing {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::minutes;

class CoreMoney : public CoreTest {
 protected:
  Result<QpsPack> buy(std::int32_t qps, microseconds start, microseconds length, bool unlimited = false) {
    const WallTime starts_at = clock.now() + start;
    return core->buy_qps_pack("acme", "vision", qps, unlimited, starts_at, starts_at + length);
  }
  Result<Core::Deposited> voucher(std::string_view amount, std::optional<WallTime> expires_at) {
    return core->deposit("acme", yuan(amount), DepositKind::voucher, expires_at);
  }
};

TEST_F(CoreMoney, ACashDepositIsOneTransfer) {
  make_acme(true);
  const auto made = core->deposit("acme", yuan("12.345678"), DepositKind::cash, std::nullopt).value();
  EXPECT_EQ(made.account.cash, yuan("12.345678"));
  EXPECT_EQ(made.account.vouchers, MicroYuan());
  const auto page = core->transfers("acme", std::nullopt, 10).value();
  ASSERT_EQ(page.items.size(), 1u);
  EXPECT_EQ(page.items[0].debit, "external:deposits");
  EXPECT_EQ(page.items[0].credit, "cash:acme");
  EXPECT_EQ(page.items[0].amount, yuan("12.345678"));
  EXPECT_EQ(page.items[0].reason, "deposit");
  EXPECT_EQ(page.items[0].reference, made.id);
  EXPECT_EQ(page.items[0].at, clock.now());
  expect_audit_holds();
}

TEST_F(CoreMoney, VouchersCountUntilTheInstantTheyExpire) {
  make_acme(true);
  const WallTime expiry = clock.now() + hours(5);
  ASSERT_TRUE(voucher("3", expiry).has_value());
  const auto made = voucher("4", std::nullopt).value();
  EXPECT_EQ(made.account.vouchers, yuan("7"));
  EXPECT_EQ(made.account.cash, MicroYuan());
  clock.set(expiry - microseconds(1));
  EXPECT_EQ(core->account("acme")->vouchers, yuan("7"));
  clock.set(expiry);
  EXPECT_EQ(core->account("acme")->vouchers, yuan("4"));
  EXPECT_EQ(core->transfers("acme", std::nullopt, 10)->items.size(), 2u);
  expect_audit_holds();
}

TEST_F(CoreMoney, BadDepositsNameTheirFieldAndMoveNothing) {
  make_acme(true);
  const auto cash_deposit = [&](MicroYuan amount) {
    return core->deposit("acme", amount, DepositKind::cash, std::nullopt);
  };
  EXPECT_EQ(field_of(cash_deposit(MicroYuan())), "amount");
  EXPECT_EQ(field_of(cash_deposit(MicroYuan(-1))), "amount");
  EXPECT_EQ(field_of(cash_deposit(kDepositMax + MicroYuan(1))), "amount");
  EXPECT_EQ(field_of(core->deposit("acme", yuan("1"), DepositKind::cash, clock.now() + hours(1))), "expires_at");
  EXPECT_EQ(field_of(voucher("1", clock.now())), "expires_at");
  EXPECT_EQ(code_of(core->deposit("nobody", yuan("1"), DepositKind::cash, std::nullopt)), "account_not_found");
  EXPECT_TRUE(core->transfers("acme", std::nullopt, 10)->items.empty());
  EXPECT_TRUE(cash_deposit(kDepositMax).has_value());
}

TEST_F(CoreMoney, AnAccountHoldsNoMoreThanItsLimit) {
  make_acme(true);
  for (std::int64_t held = 0; held < kBalanceMax.count(); held += kDepositMax.count()) {
    ASSERT_TRUE(core->deposit("acme", kDepositMax, DepositKind::cash, std::nullopt).has_value());
  }
  EXPECT_EQ(code_of(core->deposit("acme", MicroYuan(1), DepositKind::cash, std::nullopt)), "balance_limit");
  EXPECT_EQ(cash(), kBalanceMax);
}

TEST_F(CoreMoney, AllDepositsTogetherAreLimitedOverTheAccounts) {
  for (std::int64_t made = 0; made < kDepositsMax.count(); made += kDepositMax.count()) {
    const std::string id = "account-" + std::to_string(made / kBalanceMax.count());
    ASSERT_TRUE(core->put_account(id, id).has_value());
    const auto kind = made / kDepositMax.count() % 2 == 0 ? DepositKind::cash : DepositKind::voucher;
    ASSERT_TRUE(core->deposit(id, kDepositMax, kind, std::nullopt).has_value());
  }
  make_acme(true);
  for (const auto kind : {DepositKind::cash, DepositKind::voucher}) {
    const auto refused = core->deposit("acme", MicroYuan(1), kind, std::nullopt);
    EXPECT_EQ(code_of(refused), "deposits_limit");
    EXPECT_EQ(refused.error().kind, FaultKind::conflict);
  }
  EXPECT_TRUE(core->transfers("acme", std::nullopt, 10)->items.empty());
  EXPECT_EQ(core->ledger_imbalance().value(), MicroYuan());
  expect_audit_holds();
}

TEST_F(CoreMoney, ANegativeBalanceIsArrearsAndADepositOfEitherKindEndsIt) {
  make_acme(true);
  deposit("10");
  charge("12");
  EXPECT_EQ(cash(), yuan("-2"));
  EXPECT_TRUE(core->account("acme")->in_arrears);
  EXPECT_EQ(vision().state, SubscriptionState::arrears);
  EXPECT_EQ(vision().guarantee, 0);
  EXPECT_TRUE(vision().paid);
  EXPECT_EQ(core->account_counts().arrears, 1);
  EXPECT_EQ(core->account_counts().active, 0);

  sink = RecordingSink();
  const auto small = voucher("1.5", std::nullopt).value();  // pays debt first, does not end it
  EXPECT_EQ(small.account.cash, yuan("-0.5"));
  EXPECT_EQ(small.account.vouchers, MicroYuan());
  EXPECT_TRUE(sink.subscriptions.empty());
  const auto rest = voucher("2", std::nullopt).value();
  EXPECT_EQ(rest.account.cash, MicroYuan());
  EXPECT_EQ(rest.account.vouchers, yuan("1.5"));
  EXPECT_FALSE(rest.account.in_arrears);
  ASSERT_EQ(sink.subscriptions.size(), 1u);
  EXPECT_EQ(sink.subscriptions[0].state, SubscriptionState::paid);

  charge("1");
  sink = RecordingSink();
  deposit("1");
  EXPECT_EQ(cash(), MicroYuan());
  EXPECT_EQ(sink.subscriptions.size(), 1u);
  expect_audit_holds();
}

TEST_F(CoreMoney, APackIsPaidAtOnceAndCountsWholeStartedDays) {
  make_acme(true);
  deposit("1000");
  sink = RecordingSink();
  const auto pack = buy(3, hours(1), days(2) + microseconds(1)).value();
  EXPECT_EQ(pack.price, yuan("72"));  // 8 yuan a QPS and day, 3 QPS, 3 started days
  EXPECT_EQ(cash(), yuan("928"));
  ASSERT_EQ(sink.subscriptions.size(), 1u);
  ASSERT_EQ(sink.subscriptions[0].packs.size(), 1u);
  EXPECT_EQ(sink.subscriptions[0].packs[0].qps, 3);
  EXPECT_EQ(sink.subscriptions[0].packs[0].starts_at, pack.starts_at);
  EXPECT_EQ(buy(1, hours(1), days(1), true)->price, yuan("80"));
  const auto last = core->transfers("acme", std::nullopt, 10)->items.back();
  EXPECT_EQ(last.debit, "cash:acme");
  EXPECT_EQ(last.credit, "income:qps_packs");
  EXPECT_EQ(last.reason, "qps_pack");
  expect_audit_holds();
}

TEST_F(CoreMoney, TheGuaranteeIsBasePlusThePacksActiveNow) {
  make_acme(true);
  deposit("1000");
  const WallTime start = clock.now() + hours(1);
  ASSERT_TRUE(buy(3, hours(1), hours(2)).has_value());
  ASSERT_TRUE(buy(5, hours(2), hours(2), true).has_value());
  EXPECT_EQ(vision().guarantee, 10);
  clock.set(start - microseconds(1));
  EXPECT_EQ(vision().guarantee, 10);
  clock.set(start);
  EXPECT_EQ(vision().guarantee, 13);
  clock.set(start + hours(1));
  EXPECT_EQ(vision().guarantee, 18);
  clock.set(start + hours(2));  // half-open: the first pack ends at this instant
  EXPECT_EQ(vision().guarantee, 15);
  EXPECT_EQ(vision().qps_packs.size(), 1u);
  clock.set(start + hours(3));
  EXPECT_EQ(vision().guarantee, 10);
  EXPECT_TRUE(vision().qps_packs.empty());
}

TEST_F(CoreMoney, AStartInTheRecentPastIsTakenAndNotCharged) {
  make_acme(true);
  deposit("1000");
  EXPECT_EQ(buy(1, -minutes(5), days(1) + minutes(5))->price, yuan("8"));
  EXPECT_EQ(field_of(buy(1, -minutes(5) - microseconds(1), days(1))), "starts_at");
  EXPECT_EQ(vision().guarantee, 11);
}

TEST_F(CoreMoney, BadPacksNameTheirField) {
  make_acme(true);
  deposit("1000000000");
  EXPECT_EQ(field_of(buy(0, hours(1), days(1))), "qps");
  EXPECT_EQ(field_of(buy(-1, hours(1), days(1))), "qps");
  EXPECT_EQ(field_of(buy(10'001, hours(1), days(1))), "qps");
  EXPECT_EQ(field_of(buy(1, hours(1), days(0))), "ends_at");
  EXPECT_EQ(field_of(buy(1, hours(1), -days(1))), "ends_at");
  EXPECT_EQ(field_of(buy(1, -minutes(2), minutes(2))), "ends_at");
  EXPECT_EQ(field_of(buy(1, hours(1), days(366) + microseconds(1))), "ends_at");
  EXPECT_EQ(buy(10'000, hours(1), days(366), true)->price, yuan("292800000"));
}

TEST_F(CoreMoney, PacksAreRefusedByNameAndNothingMoves) {
  make_acme(false);
  EXPECT_EQ(code_of(buy(1, hours(1), days(1))), "not_paid");
  ASSERT_TRUE(core->put_subscription("acme", "vision", true, std::nullopt).has_value());
  ASSERT_TRUE(voucher("1000", std::nullopt).has_value());  // vouchers pay for usage only
  deposit("7.999999");
  const auto transfers = core->transfers("acme", std::nullopt, 10)->items.size();
  sink = RecordingSink();
  const auto shortage = buy(1, hours(1), days(1));
  EXPECT_EQ(code_of(shortage), "balance_short");
  EXPECT_EQ(shortage.error().kind, FaultKind::payment_required);
  EXPECT_EQ(code_of(core->buy_qps_pack("acme", "nothing", 1, false, clock.now(), clock.now() + days(1))),
            "service_not_found");
  plans.front().qps_packs.clear();
  EXPECT_EQ(code_of(buy(1, hours(1), days(1))), "not_sold");
  plans = built_in_plans();
  plans.front().sold_until = clock.now();
  EXPECT_EQ(code_of(buy(1, hours(1), days(1))), "plan_not_sold");
  plans = built_in_plans();
  EXPECT_EQ(core->transfers("acme", std::nullopt, 10)->items.size(), transfers);
  EXPECT_EQ(sink.count(), 0u);
  deposit("0.000001");
  EXPECT_TRUE(buy(1, hours(1), days(1)).has_value());
  EXPECT_EQ(cash(), MicroYuan());
  charge("1");
  EXPECT_EQ(code_of(buy(1, hours(1), days(1))), "arrears");
}

TEST_F(CoreMoney, AFreeSubscriptionKeepsItsPacksWithoutTheirEffect) {
  make_acme(true);
  deposit("1000");
  ASSERT_TRUE(buy(3, microseconds(0), days(1)).has_value());
  ASSERT_TRUE(core->put_subscription("acme", "vision", false, std::nullopt).has_value());
  EXPECT_TRUE(sink.subscriptions.back().packs.empty());
  EXPECT_EQ(vision().guarantee, 0);
  EXPECT_EQ(vision().qps_packs.size(), 1u);
  ASSERT_TRUE(core->put_subscription("acme", "vision", true, std::nullopt).has_value());
  EXPECT_EQ(sink.subscriptions.back().packs.size(), 1u);
  EXPECT_EQ(vision().guarantee, 13);
}

TEST_F(CoreMoney, TransfersStandOldestFirstInPages) {
  make_acme(true);
  for (const auto* amount : {"1", "2", "3"}) deposit(amount);
  const auto first = core->transfers("acme", std::nullopt, 2).value();
  ASSERT_EQ(first.items.size(), 2u);
  EXPECT_EQ(first.items[0].amount, yuan("1"));
  const auto rest = core->transfers("acme", first.next, 2).value();
  ASSERT_EQ(rest.items.size(), 1u);
  EXPECT_EQ(rest.items[0].amount, yuan("3"));
  EXPECT_FALSE(rest.next);
  EXPECT_EQ(field_of(core->transfers("acme", "x", 2)), "after");
}

}  // namespace
}  // namespace tollgate::billing
