#include "meter/collector.h"

#include <algorithm>
#include <iterator>

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

void Collector::find_changes() {
  journal_.take_changed([this](std::uint32_t index) {
    if (index >= group_of_.size()) group_of_.resize(journal_.slots_touched());
    Item* item = group_of_[index];
    if (item == nullptr) {
      // A free slot was given back after its last count. One that is being taken is marked when it is whole.
      if (!journal_.is_whole(index)) return;
      item = &group_of(index);
      item->second.slots.push_back(index);
      group_of_[index] = item;
    }
    if (item->second.changed) return;
    changed_.push_back(item);
    item->second.changed = true;
  });
}

Collector::Item& Collector::group_of(std::uint32_t index) {
  const Slot& slot = journal_.slots()[index];
  const std::uint32_t epoch = slot.epoch.load(std::memory_order_acquire);
  const auto [found, is_new] = groups_.try_emplace(Key{epoch, slot.subscription, Hour{slot.hour}});
  if (!is_new) return *found;
  try {
    (epoch == journal_.epoch() ? by_hour_[slot.hour] : over_).push_back(&*found);
  } catch (...) {  // no memory: else it would be in no list, and never given back
    groups_.erase(found);
    throw;
  }
  return *found;
}

UsageTotals Collector::sum(const Item& item) const {
  const auto& [key, group] = item;
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

// By epoch. What turns out to be as it was acknowledged is no longer noted as changed.
std::map<std::uint32_t, Collector::Reported> Collector::what_is_new() {
  std::map<std::uint32_t, Reported> reports;
  std::int64_t waiting = 0;
  std::erase_if(changed_, [&](Item* item) {
    auto& [key, group] = *item;
    const UsageTotals totals = sum(*item);
    if (group.known && totals == group.acknowledged) {
      group.changed = false;
      return true;
    }
    waiting += (totals.free_points - group.acknowledged.free_points).count() +
               (totals.billable_points - group.acknowledged.billable_points).count();
    auto& report = reports[key.epoch];
    report.entries.push_back({key.subscription, key.hour, totals});
    report.items.push_back(item);
    return false;
  });
  unacknowledged_ = Points(waiting);
  return reports;
}

Result<void> Collector::report(std::uint32_t epoch, const Reported& whole) {
  const auto known_as = reported_as_.find(epoch);
  for (std::size_t from = 0; from < whole.entries.size(); from += kEntriesPerReport) {
    const std::size_t end = std::min(from + kEntriesPerReport, whole.entries.size());
    const UsageReport part{gateway_,
                           known_as == reported_as_.end() ? epoch : known_as->second,
                           {whole.entries.begin() + static_cast<std::ptrdiff_t>(from),
                            whole.entries.begin() + static_cast<std::ptrdiff_t>(end)}};
    if (auto delivered = deliver_(part); !delivered) return delivered;
    for (std::size_t i = from; i < end; ++i) {
      Group& group = whole.items[i]->second;
      group.acknowledged = whole.entries[i].totals;
      group.known = true;
    }
  }
  return {};
}

Result<void> Collector::collect(Hour oldest) {
  find_changes();
  for (const auto& [epoch, whole] : what_is_new()) {
    if (auto reported = report(epoch, whole); !reported) return reported;  // what is left stays noted as changed
  }
  for (Item* item : changed_) item->second.changed = false;
  changed_.clear();
  unacknowledged_ = Points();
  TOLLGATE_FAIL_POINT("collector.acknowledge");
  recycle_before(Hour{oldest.since_epoch - 1});
  return {};
}

void Collector::recycle_before(Hour hour) {
  const auto is_gone = [this](Item* item) { return recycle(*item); };
  std::erase_if(over_, is_gone);
  for (auto it = by_hour_.begin(); it != by_hour_.end() && it->first < hour.since_epoch;) {
    std::erase_if(it->second, is_gone);
    it = it->second.empty() ? by_hour_.erase(it) : std::next(it);
  }
}

bool Collector::recycle(Item& item) {
  const auto& [key, group] = item;
  const bool over = key.epoch != journal_.epoch();
  // All slots of a key go together: if one went alone the sum would shrink, and the receiver's maximum would
  // swallow what the others count later.
  if (!group.known || !(over || all_ended(journal_, group.slots)) || !(sum(item) == group.acknowledged)) return false;
  for (const std::uint32_t index : group.slots) {
    group_of_[index] = nullptr;
    journal_.recycle(journal_.slots()[index]);
  }
  groups_.erase(Key(key));
  return true;
}

}  // namespace tollgate::meter
