#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "gateway/admin_views.h"

namespace tollgate::gateway {
namespace {

const WallTime kAt = *parse_time("2021-08-20T11:00:00+08:00");

billing::Bill bill_of_all_kinds() {
  billing::Bill bill{"acme", {2021, 8}, {}, MicroYuan(230'400'000)};
  billing::BillLine tier;
  tier.id = "l1";
  tier.service = "detect";
  tier.points = Points(50'000);
  tier.unit_price = MicroYuan(1000);
  tier.amount = MicroYuan(50'000'000);
  tier.transfers = {7, 9};
  billing::BillLine purchase;
  purchase.id = "l2";
  purchase.service = "detect";
  purchase.kind = billing::BillLineKind::purchase;
  purchase.paid_from = billing::PaidFrom::package;
  purchase.item = "pkg-1";
  purchase.points = Points(200'000);
  purchase.unit_price = purchase.amount = MicroYuan(180'000'000);
  billing::BillLine late;
  late.id = "l3";
  late.service = "old";
  late.kind = billing::BillLineKind::adjustment;
  late.paid_from = billing::PaidFrom::call;
  late.points = Points(500);
  late.calls = 100;
  late.unit_price = MicroYuan(4000);
  late.amount = MicroYuan(400'000);
  late.hour = hour_of(kAt);
  bill.lines = {tier, purchase, late};
  return bill;
}

TEST(BillView, ALineHasWhatItsKindHas) {
  EXPECT_EQ(boost::json::serialize(view(bill_of_all_kinds())),
            R"({"account":"acme","month":"2021-08","lines":[)"
            R"({"id":"l1","service":"detect","kind":"tier","paid_from":"tier","points":50000,"unit_price":"0.001",)"
            R"("amount":"50.00","transfers":[7,9]},)"
            R"({"id":"l2","service":"detect","kind":"purchase","paid_from":"package","item":"pkg-1","points":200000,)"
            R"("unit_price":"180.00","amount":"180.00","transfers":[]},)"
            R"({"id":"l3","service":"old","kind":"adjustment","paid_from":"call","points":500,"calls":100,)"
            R"("unit_price":"0.004","amount":"0.40","hour":"2021-08-20T11:00:00+08:00","transfers":[]}],)"
            R"("total":"230.40"})");
}

TEST(BillView, TheCsvHasTheSameLinesAndTheTotal) {
  EXPECT_EQ(csv(bill_of_all_kinds()),
            "month,service,kind,paid_from,item,points,calls,unit_price,amount,hour,transfers,id\r\n"
            "2021-08,detect,tier,tier,,50000,0,0.001,50.00,,7 9,l1\r\n"
            "2021-08,detect,purchase,package,pkg-1,200000,0,180.00,180.00,,,l2\r\n"
            "2021-08,old,adjustment,call,,500,100,0.004,0.40,2021-08-20T11:00:00+08:00,,l3\r\n"
            "2021-08,,total,,,,,,230.40,,,\r\n");
  EXPECT_EQ(csv(billing::Bill{"acme", {2020, 2}, {}, {}}).substr(84), "2020-02,,total,,,,,,0.00,,,\r\n");
}

TEST(ExplanationView, LeadsFromATransferToWhoReportedTheUsage) {
  billing::Settlement settlement;
  settlement.reference = "1/452691/1";
  settlement.service = "detect";
  settlement.hour = hour_of(kAt);
  settlement.revision = 1;
  settlement.at = kAt + std::chrono::hours(1);
  settlement.billable_points = settlement.month_points_after = Points(5);
  settlement.amount = MicroYuan(5000);
  settlement.parts = {{billing::PaidFrom::tier, "", Points(5), 0, MicroYuan(1000), MicroYuan(5000)}};
  settlement.transfers = {{3, settlement.at, "cash:acme", "income:usage", MicroYuan(5000), "usage", "1/452691/1"}};
  settlement.reported = {{"gw-1", 2, {1, 0, 0, Points(0), Points(5)}}};
  const auto shown = view(billing::Explanation{settlement.transfers[0], {settlement}});
  EXPECT_EQ(shown.at("transfer").at("id"), 3);
  const auto& only = shown.at("settlements").at(0);
  EXPECT_EQ(only.at("hour"), "2021-08-20T11:00:00+08:00");
  EXPECT_EQ(only.at("parts").at(0).at("unit_price"), "0.001");
  EXPECT_EQ(only.at("transfers").at(0).at("amount"), "0.005");
  EXPECT_EQ(only.at("reported").at(0).at("gateway"), "gw-1");
  EXPECT_EQ(only.at("reported").at(0).at("billable_points"), 5);
  EXPECT_FALSE(view(billing::Explanation{}).contains("transfer"));
}

TEST(NotificationView, ShowsItsDeliveryAndWhatIsSent) {
  billing::Notification notification;
  notification.id = "notification-7";
  notification.kind = billing::NotificationKind::reminder_24h;
  notification.account = "acme";
  notification.created_at = notification.next_attempt_at = kAt;
  notification.attempts = 2;
  notification.last_error = "the webhook answered 500";
  notification.payload = R"({"id":"notification-7","hours_left":19})";
  auto shown = view(notification);
  EXPECT_EQ(shown.at("kind"), "reminder_24h");
  EXPECT_EQ(shown.at("state"), "pending");
  EXPECT_EQ(shown.at("next_attempt_at"), "2021-08-20T11:00:00+08:00");
  EXPECT_TRUE(shown.at("delivered_at").is_null());
  EXPECT_EQ(shown.at("payload").at("hours_left"), 19);
  notification.state = billing::NotificationState::delivered;
  notification.delivered_at = kAt;
  shown = view(notification);
  EXPECT_TRUE(shown.at("next_attempt_at").is_null());
  EXPECT_EQ(shown.at("delivered_at"), "2021-08-20T11:00:00+08:00");
}

TEST(QuoteView, HasALineForEachTier) {
  const billing::Quote quote{
      "m",
      "p",
      Points(2),
      Points(999'999),
      {{Points(1), 0, MicroYuan(1000), MicroYuan(1000)}, {Points(1), 0, MicroYuan(800), MicroYuan(800)}},
      MicroYuan(1800)};
  EXPECT_EQ(
      boost::json::serialize(view(quote)),
      R"({"model":"m","plan":"p","points":2,"month_points":999999,"lines":[)"
      R"({"points":1,"unit_price":"0.001","amount":"0.001"},{"points":1,"unit_price":"0.0008","amount":"0.0008"}],)"
      R"("total":"0.0018"})");
}

}  // namespace
}  // namespace tollgate::gateway
