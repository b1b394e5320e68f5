// Bills, the way from a line or a transfer down to the usage behind it, and quotes.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>

#include "billing/core.h"
#include "billing/rating.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {
constexpr std::int64_t kQuotePointsMax = 1'000'000'000'000'000;

BillLineKind kind_of(const BillPartRow& row) {
  if (row.at > begin_of(row.hour.next())) return BillLineKind::adjustment;
  switch (row.part.paid_from) {
    case PaidFrom::package: return BillLineKind::package;
    case PaidFrom::count_pack: return BillLineKind::count_pack;
    default: return BillLineKind::tier;
  }
}

// Lines are the sums over these. Dearer tiers are the earlier ones.
using LineKey = std::tuple<std::string, BillLineKind, PaidFrom, std::int64_t, std::int32_t, std::string>;

LineKey key_of(const BillPartRow& row) {
  const BillLineKind kind = kind_of(row);
  const std::int32_t hour = kind == BillLineKind::adjustment ? row.hour.since_epoch : 0;
  return {row.service, kind, row.part.paid_from, -row.part.unit_price.count(), hour, row.part.item};
}

std::string id_of(const LineKey& key) {
  const auto& [service, kind, paid_from, price, hour, item] = key;
  return fmt::format("{}.{}.{}.{}.{}.{}", service, name_of(kind), name_of(paid_from), item.empty() ? "-" : item, -price,
                     hour);
}

BillLine line_of(const LineKey& key) {
  BillLine line;
  line.id = id_of(key);
  line.service = std::get<0>(key);
  line.kind = std::get<1>(key);
  line.paid_from = std::get<2>(key);
  line.unit_price = MicroYuan(-std::get<3>(key));
  if (line.kind == BillLineKind::adjustment) line.hour = Hour{std::get<4>(key)};
  line.item = std::get<5>(key);
  return line;
}

std::string_view transfer_reason(PaidFrom item) {
  if (item == PaidFrom::package) return "package";
  return item == PaidFrom::count_pack ? "count_pack" : "qps_pack";
}

BillLine purchase_line(const PurchaseRow& row) {
  BillLine line;
  line.id = fmt::format("{}.purchase.{}", row.service, row.id);
  line.service = row.service;
  line.kind = BillLineKind::purchase;
  line.paid_from = row.item;
  line.item = row.id;
  line.unit_price = row.price;
  line.amount = row.price;
  return line;
}

std::string reference_of(const SettlementKey& key) {
  return fmt::format("{}/{}/{}", key.subscription, key.hour.since_epoch, key.revision);
}

std::optional<SettlementKey> parse_reference(std::string_view text) {
  SettlementKey key;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto read = [&](auto& value, char separator) {
    const auto [stop, error] = std::from_chars(at, end, value);
    if (error != std::errc() || (separator != 0 ? stop == end || *stop != separator : stop != end)) return false;
    at = stop + (separator != 0 ? 1 : 0);
    return true;
  };
  if (!read(key.subscription, '/') || !read(key.hour.since_epoch, '/') || !read(key.revision, 0)) return std::nullopt;
  return key;
}

// With who reported the usage.
std::optional<Settlement> whole_settlement(Store& store, const SettlementKey& key) {
  auto settlement = store.find_settlement(key);
  if (!settlement) return std::nullopt;
  settlement->reference = reference_of(key);
  settlement->reported = store.reported(key.subscription, key.hour);
  return settlement;
}
}  // namespace

Result<Bill> Core::bill(std::string_view account, Month month) {
  return in_transaction([&]() -> Result<Bill> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    std::map<LineKey, BillLine> lines;
    for (const auto& row : store_.bill_parts(account, month)) {
      const LineKey key = key_of(row);
      BillLine& line = lines.try_emplace(key, line_of(key)).first->second;
      line.points += row.part.points;
      line.calls += row.part.calls;
      line.amount += row.part.amount;
      if (row.part.amount == MicroYuan()) continue;
      for (std::int64_t i = 0; i < row.transfers; ++i) line.transfers.push_back(row.first_transfer + i);
    }
    Bill bill{std::string(account), month, {}, {}};
    for (auto& [key, line] : lines) bill.lines.push_back(std::move(line));
    for (const auto& row : store_.purchases(account, begin_of(month), begin_of(next(month)))) {
      bill.lines.push_back(purchase_line(row));
      for (const auto& paid : store_.transfers_of(transfer_reason(row.item), row.id)) {
        bill.lines.back().transfers.push_back(paid.id);
      }
    }
    std::ranges::stable_sort(bill.lines, {}, &BillLine::service);
    for (const auto& line : bill.lines) bill.total += line.amount;
    return bill;
  });
}

Result<Explanation> Core::explain_transfer(std::string_view account, std::int64_t transfer) {
  return in_transaction([&]() -> Result<Explanation> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    Explanation explanation;
    explanation.transfer = store_.find_transfer(account, transfer);
    if (!explanation.transfer) {
      return Fault{FaultKind::not_found,
                   "transfer_not_found",
                   fmt::format("account '{}' has no transfer {}", account, transfer),
                   {}};
    }
    if (explanation.transfer->reason != "usage") return explanation;
    if (const auto key = parse_reference(explanation.transfer->reference)) {
      if (auto settlement = whole_settlement(store_, *key)) explanation.settlements.push_back(*std::move(settlement));
    }
    return explanation;
  });
}

Result<Explanation> Core::explain_line(std::string_view account, Month month, std::string_view line_id) {
  return in_transaction([&]() -> Result<Explanation> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    Explanation explanation;
    std::string last;  // a settlement may have several parts in one line
    for (const auto& row : store_.bill_parts(account, month)) {
      if (id_of(key_of(row)) != line_id) continue;
      std::string reference = reference_of({row.subscription, row.hour, row.revision});
      if (std::exchange(last, reference) == reference) continue;
      if (auto settlement = whole_settlement(store_, {row.subscription, row.hour, row.revision})) {
        explanation.settlements.push_back(*std::move(settlement));
      }
    }
    if (!explanation.settlements.empty()) return explanation;
    for (const auto& row : store_.purchases(account, begin_of(month), begin_of(next(month)))) {
      if (purchase_line(row).id != line_id) continue;
      const auto paid = store_.transfers_of(transfer_reason(row.item), row.id);
      if (!paid.empty()) explanation.transfer = paid.front();
      return explanation;
    }
    return Fault{FaultKind::not_found,
                 "line_not_found",
                 fmt::format("the bill of {} has no line '{}'", format_month(month), line_id),
                 {}};
  });
}

Result<Quote> Core::quote(std::string_view model, std::optional<Points> points, std::optional<std::int64_t> calls,
                          Points month_points, std::optional<std::string> plan_id) {
  const Model* known = catalog_.find(model);
  if (known == nullptr) return invalid("model", fmt::format("there is no model '{}' in the catalogue", model));
  const Plan* plan = plan_id ? find_plan(*plan_id) : &plans_.front();
  if (plan == nullptr) return invalid("plan", fmt::format("there is no plan '{}'", *plan_id));
  if (points.has_value() == calls.has_value()) return invalid("points", "points or calls, exactly one of them");
  const auto range = [](std::string field) {
    return invalid(std::move(field), fmt::format("0 to {} points", kQuotePointsMax));
  };
  if (month_points < Points() || month_points.count() > kQuotePointsMax) return range("month_points");
  if (points && (*points < Points() || points->count() > kQuotePointsMax)) return range("points");
  if (calls && (*calls < 0 || *calls > kQuotePointsMax / known->cost.count())) return range("calls");

  Quote quote{std::string(model), plan->id, points.value_or(known->cost * calls.value_or(0)), month_points, {}, {}};
  if (plan->by_call()) {
    const CallPrice* price = plan->call_price(model);
    if (price == nullptr) return invalid("model", fmt::format("plan '{}' has no price for it", plan->id));
    const std::int64_t count = calls.value_or(quote.points.count() / known->cost.count());
    const auto amount = price_of_calls(count, price->per_call);
    if (!amount) return range(calls ? "calls" : "points");
    if (count > 0) quote.lines.push_back({quote.points, count, price->per_call, *amount});
  } else {
    const auto parts = rate(plan->tiers, month_points, quote.points);
    if (parts.empty() && quote.points > Points()) return range(calls ? "calls" : "points");
    for (const auto& part : parts) quote.lines.push_back({part.points, 0, part.unit_price, part.amount});
  }
  for (const auto& line : quote.lines) quote.total += line.amount;
  return quote;
}

std::string_view name_of(BillLineKind kind) noexcept {
  switch (kind) {
    case BillLineKind::tier: return "tier";
    case BillLineKind::package: return "package";
    case BillLineKind::count_pack: return "count_pack";
    case BillLineKind::purchase: return "purchase";
    case BillLineKind::adjustment: return "adjustment";
  }
  return "";
}

std::string_view name_of(PaidFrom paid_from) noexcept {
  switch (paid_from) {
    case PaidFrom::tier: return "tier";
    case PaidFrom::call: return "call";
    case PaidFrom::package: return "package";
    case PaidFrom::count_pack: return "count_pack";
    case PaidFrom::qps_pack: return "qps_pack";
  }
  return "";
}

}  // namespace tollgate::billing
