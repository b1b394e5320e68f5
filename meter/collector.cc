#include "meter/collector.h"

#include <algorithm>

#include "base/fail_point.h"

namespace tollgate::meter {
namespace {
constexpr std::size_t kEntriesPerReport = 10'000;  // bounds one transaction of the receiver

bool all_ended(Journal& journal, const std::vector<std::uint32_t>& slots) {
  return std::all_of(slots.begin(), slots.end(),
                     [&](std::uint32_t index) { return journal.slots()[index].calls_open() == 0; });
}
}  // namespace

std::size_t Collector::KeyHash::operator()(const Key& key) const noexcept {
  std::uint64_t mixed = (static_cast<std::uint64_t>(key.subscription) << 32) ^
                        (static_cast<std::uint64_t>(static_cast<std::uint32_t>(key.hour.since_epoch)) << 8) ^ key.epoch;
  mixed = (mixed ^ (mixed >> 31)) * 0x9e3779b97f4a7c15U;
  return mixed ^ (mixed >> 29);
}

Collector::Collector(Journal& journal, std::string gateway, Deliver deliver)
    : journal_(journal), gateway_(std::move(gateway)), deliver_(std::move(deliver)) {}

void Collector::find_new_slots() {
  Slot* slots = journal_.slots();
  if (seen_.size() < journal_.slots_touched()) seen_.resize(journal_.slots_touched());
  for (std::uint32_t i = 0; i < seen_.size(); ++i) {
    if (seen_[i]) continue;
    const std::uint32_t epoch = slots[i].epoch.load(std::memory_order_acquire);
    if (epoch == 0 || !journal_.is_whole(i)) continue;
    seen_[i] = true;
    groups_[{epoch, slots[i].subscription, Hour{slots[i].hour}}].slots.push_back(i);
  }
}

UsageTotals Collector::sum(const Key& key, const Group& group) const {
  UsageTotals totals;
  for (const std::uint32_t index : group.slots) {
    const Slot& slot = journal_.slots()[index];
    totals.calls_succeeded += slot.calls_succeeded();
    totals.calls_unmetered += slot.calls_unmetered();
    totals.calls_failed += slot.calls_failed();
    // An epoch that is over has no calls in flight: what is open there was cut off by the end of its process.
    if (key.epoch != journal_.epoch()) totals.calls_failed += slot.calls_open();
    totals.free_points += slot.free_points();
    totals.billable_points += slot.billable_points();
  }
  return totals;
}

Result<void> Collector::collect(Hour oldest) {
  find_new_slots();
  std::unordered_map<std::uint32_t, UsageReport> reports;  // by epoch
  std::int64_t waiting = 0;
  for (auto& [key, group] : groups_) {
    group.reported = sum(key, group);
    if (group.known && group.reported == group.acknowledged) continue;
    waiting += (group.reported.free_points - group.acknowledged.free_points).count() +
               (group.reported.billable_points - group.acknowledged.billable_points).count();
    auto& report = reports[key.epoch];
    report.entries.push_back({key.subscription, key.hour, group.reported});
  }
  unacknowledged_ = Points(waiting);
  for (auto& [epoch, whole] : reports) {
    for (std::size_t from = 0; from < whole.entries.size(); from += kEntriesPerReport) {
      const auto begin = whole.entries.begin() + static_cast<std::ptrdiff_t>(from);
      const auto end =
          whole.entries.begin() + static_cast<std::ptrdiff_t>(std::min(from + kEntriesPerReport, whole.entries.size()));
      const auto known_as = reported_as_.find(epoch);
      const UsageReport part{gateway_, known_as == reported_as_.end() ? epoch : known_as->second, {begin, end}};
      if (auto delivered = deliver_(part); !delivered) return delivered;
      for (const auto& entry : part.entries) {
        Group& group = groups_.at({epoch, entry.subscription, entry.hour});
        group.acknowledged = group.reported;
        group.known = true;
      }
    }
  }
  unacknowledged_ = Points();
  TOLLGATE_FAIL_POINT("collector.acknowledge");
  recycle_before(Hour{oldest.since_epoch - 1});
  return {};
}

void Collector::recycle_before(Hour hour) {
  for (auto it = groups_.begin(); it != groups_.end();) {
    const auto& [key, group] = *it;
    const bool over = key.epoch != journal_.epoch();
    // All slots of a key go together: if one went alone the sum would shrink, and the receiver's maximum would
    // swallow what the others count later.
    const bool idle = key.hour < hour && all_ended(journal_, group.slots);
    if (!group.known || !(over || idle) || !(sum(key, group) == group.acknowledged)) {
      ++it;
      continue;
    }
    for (const std::uint32_t index : group.slots) {
      seen_[index] = false;
      journal_.recycle(journal_.slots()[index]);
    }
    it = groups_.erase(it);
  }
}

}  // namespace tollgate::meter
