#include "billing/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/ids.h"
#include "billing/embedded.h"
#include "billing/yaml_reader.h"

namespace tollgate::billing {
namespace {
constexpr std::int64_t kPointsMax = 1'000'000'000'000;
constexpr std::size_t kTextBytesMax = 200;

void read_head(YamlReader& reader, const YAML::Node& root, Plan& plan) {
  if (auto id = reader.text(root, "id", kTextBytesMax)) {
    if (!is_valid_id(*id)) {
      reader.fault(root["id"], "id must have 1 to 63 of a-z, 0-9 and '-', and not begin with '-'");
    }
    plan.id = *std::move(id);
  }
  plan.title = reader.text(root, "title", kTextBytesMax).value_or("");
  if (const auto until = reader.text(root, "sold_until", kTextBytesMax)) {
    plan.sold_until = parse_time(*until);
    if (!plan.sold_until) reader.fault(root["sold_until"], "sold_until must be an RFC 3339 time");
  }
  const auto check = reader.one_of(root, "arrears_check", {"hourly", "realtime"});
  plan.arrears_check = check.value_or(0) == 0 ? ArrearsCheck::hourly : ArrearsCheck::realtime;
  plan.package_months = static_cast<int>(reader.integer(root, "package_months", 1, 120).value_or(12));
}

void read_free_quota(YamlReader& reader, const YAML::Node& root, Plan& plan) {
  const YAML::Node node = root["free_quota"];
  if (!node.IsDefined() || !reader.check_map(node, "free_quota", {{"points"}, {"period"}})) return;
  plan.free_quota = Points(reader.integer(node, "points", 0, kPointsMax).value_or(0));
  constexpr FreeQuotaPeriod periods[] = {FreeQuotaPeriod::once, FreeQuotaPeriod::day, FreeQuotaPeriod::month};
  plan.free_quota_period = periods[reader.one_of(node, "period", {"once", "day", "month"}).value_or(0)];
}

void read_tiers(YamlReader& reader, const YAML::Node& root, Plan& plan) {
  const auto nodes = reader.items(root, "tiers");
  if (nodes.empty() == !root["calls"].IsDefined()) {
    reader.fault(root, "a plan must have tiers (charged by the point) or calls (charged by the call), one of them");
  }
  std::int64_t below = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const bool last = i + 1 == nodes.size();
    Tier tier;
    if (!reader.check_map(nodes[i], "a tier", {{"up_to", !last}, {"yuan_per_point"}})) continue;
    if (const auto up_to = reader.integer(nodes[i], "up_to", 1, kPointsMax)) {
      if (last) reader.fault(nodes[i], "the last tier must have no up_to, or usage beyond it would have no price");
      if (*up_to <= below) reader.fault(nodes[i], fmt::format("up_to must be above {}, the tier before", below));
      below = *up_to;
      tier.up_to = Points(*up_to);
    }
    tier.per_point = reader.price(nodes[i], "yuan_per_point").value_or(MicroYuan());
    plan.tiers.push_back(tier);
  }
}

void read_packages(YamlReader& reader, const YAML::Node& root, Plan& plan) {
  std::int64_t below = 0;
  for (const auto& node : reader.items(root, "packages")) {
    if (!reader.check_map(node, "a package", {{"points"}, {"price"}})) continue;
    const auto points = reader.integer(node, "points", 1, kPointsMax);
    if (points && *points <= below) reader.fault(node, "packages must stand by rising points");
    below = points.value_or(below);
    plan.packages.push_back({Points(points.value_or(1)), reader.price(node, "price").value_or(MicroYuan())});
  }
}

void read_calls(YamlReader& reader, const YAML::Node& root, Plan& plan) {
  std::set<std::string> models;
  const auto nodes = reader.items(root, "calls");
  if (nodes.empty() && root["calls"].IsDefined()) reader.fault(root["calls"], "calls must have at least one model");
  for (const auto& node : nodes) {
    if (!reader.check_map(node, "a price per call", {{"model"}, {"yuan_per_call"}, {"count_packs", false}})) continue;
    CallPrice price;
    price.model = reader.text(node, "model", kTextBytesMax).value_or("");
    if (!price.model.empty() && !models.insert(price.model).second) {
      reader.fault(node, fmt::format("model '{}' stands here twice", price.model));
    }
    price.per_call = reader.price(node, "yuan_per_call").value_or(MicroYuan());
    for (const auto& pack : reader.items(node, "count_packs")) {
      if (!reader.check_map(pack, "a count pack", {{"calls"}, {"price"}})) continue;
      const auto calls = reader.integer(pack, "calls", 1, kPointsMax).value_or(1);
      if (!price.count_packs.empty() && calls <= price.count_packs.back().calls) {
        reader.fault(pack, "count packs must stand by rising calls");
      }
      price.count_packs.push_back({calls, reader.price(pack, "price").value_or(MicroYuan())});
    }
    plan.calls.push_back(std::move(price));
  }
}

void read_qps_packs(YamlReader& reader, const YAML::Node& root, Plan& plan) {
  std::set<std::string> models;
  for (const auto& node : reader.items(root, "qps_packs")) {
    if (!reader.check_map(node, "a QPS pack price", {{"model"}, {"metered"}, {"unlimited"}})) continue;
    QpsPackPrice price;
    price.model = reader.text(node, "model", kTextBytesMax).value_or("");
    if (!price.model.empty() && !models.insert(price.model).second) {
      reader.fault(node, fmt::format("model '{}' stands here twice", price.model));
    }
    price.metered = reader.price(node, "metered").value_or(MicroYuan());
    price.unlimited = reader.price(node, "unlimited").value_or(MicroYuan());
    plan.qps_packs.push_back(std::move(price));
  }
}
}  // namespace

Result<Plan> Plan::parse(std::string_view yaml, std::string_view source) {
  YamlReader reader(source);
  const YAML::Node root = reader.load(yaml);
  Plan plan;
  if (reader.clean() && reader.check_map(root, "the plan",
                                         {{"id"},
                                          {"title"},
                                          {"free_quota"},
                                          {"sold_until", false},
                                          {"arrears_check", false},
                                          {"tiers", false},
                                          {"calls", false},
                                          {"package_months", false},
                                          {"packages", false},
                                          {"qps_packs", false}})) {
    read_head(reader, root, plan);
    read_free_quota(reader, root, plan);
    read_tiers(reader, root, plan);
    read_calls(reader, root, plan);
    read_packages(reader, root, plan);
    read_qps_packs(reader, root, plan);
  }
  if (!reader.clean()) return reader.as_fault("invalid_plan");
  return plan;
}

const QpsPackPrice* Plan::qps_pack_price(std::string_view model) const noexcept {
  const auto found = std::ranges::find(qps_packs, model, &QpsPackPrice::model);
  return found == qps_packs.end() ? nullptr : &*found;
}

const CallPrice* Plan::call_price(std::string_view model) const noexcept {
  const auto found = std::ranges::find(calls, model, &CallPrice::model);
  return found == calls.end() ? nullptr : &*found;
}

std::string canonical(const Plan& plan) {
  constexpr std::string_view periods[] = {"once", "day", "month"};
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{}: {}\n", name, value);
  };
  line("id", plan.id);
  line("title", plan.title);
  line("free_quota",
       fmt::format("{} {}", plan.free_quota.count(), periods[static_cast<std::size_t>(plan.free_quota_period)]));
  if (plan.sold_until) line("sold_until", format_time(*plan.sold_until));
  if (plan.arrears_check == ArrearsCheck::realtime) line("arrears_check", "realtime");
  for (const auto& tier : plan.tiers) {
    line(tier.up_to ? fmt::format("tier up to {}", tier.up_to->count()) : "tier beyond", format_yuan(tier.per_point));
  }
  for (const auto& price : plan.calls) {
    line("call of " + price.model, format_yuan(price.per_call));
    for (const auto& pack : price.count_packs) {
      line(fmt::format("{} calls of {}", pack.calls, price.model), format_yuan(pack.price));
    }
  }
  line("package_months", std::to_string(plan.package_months));
  for (const auto& offer : plan.packages) {
    line(fmt::format("package of {}", offer.points.count()), format_yuan(offer.price));
  }
  for (const auto& price : plan.qps_packs) {
    line("metered QPS of " + price.model, format_yuan(price.metered));
    line("unlimited QPS of " + price.model, format_yuan(price.unlimited));
  }
  return text;
}

Result<void> check_plans(const std::vector<Plan>& plans, const Catalog& catalog) {
  std::string message;
  const auto add = [&](const std::string& line) { message += (message.empty() ? "" : "\n") + line; };
  if (plans.empty()) add("there must be at least one plan");
  std::set<std::string> ids;
  for (const auto& plan : plans) {
    if (!ids.insert(plan.id).second) add(fmt::format("plan '{}' is there twice", plan.id));
    for (const auto& price : plan.calls) {
      if (catalog.find(price.model) != nullptr) continue;
      add(fmt::format("plan '{}' prices calls of '{}', which is not in the catalogue", plan.id, price.model));
    }
    for (const auto& price : plan.qps_packs) {
      if (catalog.find(price.model) != nullptr) continue;
      add(fmt::format("plan '{}' prices QPS packs of '{}', which is not in the catalogue", plan.id, price.model));
    }
  }
  if (!message.empty()) return Fault{FaultKind::invalid, "invalid_plan", message, {}};
  return {};
}

const std::vector<Plan>& built_in_plans() {
  static const std::vector<Plan> plans = [] {
    std::vector<Plan> parsed;
    for (const auto& file : embedded_plans()) {
      auto plan = Plan::parse(file.text, file.name);
      TOLLGATE_CHECK(plan.has_value());  // the tests parse conf/plans
      parsed.push_back(*std::move(plan));
    }
    TOLLGATE_CHECK(check_plans(parsed, Catalog::built_in()).has_value());
    return parsed;
  }();
  return plans;
}

}  // namespace tollgate::billing
