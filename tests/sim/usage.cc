// Reports on their way: this gateway's by its collector, those of another gateway over the API; lost, repeated, out of
// order, in part, and acknowledged or not.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace tollgate::sim {
namespace {
constexpr const char* kOther = "gw-2";
constexpr std::size_t kRemembered = 12;

meter::UsageTotals totals_of(const Counts& counts) {
  return {counts[kSucceeded], counts[kFailed], counts[kUnmetered], Points(counts[kFree]), Points(counts[kBillable])};
}

template <class T>
void shuffle(std::vector<T>& items, Random& random) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.index(i)]);
}
}  // namespace

// What comes in amid a run may have missed its last boundary, and is due at the next one.
void Simulation::usage_came_in() {
  store_changed_ = true;
  run_is_whole_ = run_is_whole_ && !run_under_way_;
}

Result<void> Simulation::deliver(billing::Core& core, const meter::UsageReport& report) {
  earlier_reports_.push_back(report);
  if (earlier_reports_.size() > kRemembered) earlier_reports_.pop_front();
  const bool moody = mood_ != Mood::takes && mood_after_-- <= 0;
  const Fault away{FaultKind::unavailable, "receiver_away", "the answer was lost", ""};
  if (moody && mood_ == Mood::loses) return away;
  if (auto merged = core.merge(report); !merged) {
    if (!sabotaged()) broken("a report was refused: " + merged.error().message);
    return merged;
  }
  for (const auto& entry : report.entries) {
    merged_.merge({true, report.epoch, entry.subscription, entry.hour.since_epoch}, counts_of(entry.totals));
  }
  usage_came_in();
  if (moody) return away;
  return {};
}

// True: everything was acknowledged, and so the store has it.
bool Simulation::collect(Mood mood) {
  mood_ = mood;
  mood_after_ = mood == Mood::takes ? 0 : random_.below(2);
  const bool taken = process_->collect().has_value();
  mood_ = Mood::takes;
  note(taken ? "collected" : "collected in vain", {static_cast<std::int64_t>(mood)});
  if (taken) check_stored_is_truth();
  return taken;
}

void Simulation::collect_somehow() {
  collect(random_.one_of({Mood::takes, Mood::takes, Mood::takes, Mood::loses, Mood::takes_but_says_it_failed}));
}

// An earlier report comes once more: as it was, in another order, in part, or with entries twice.
void Simulation::redeliver() {
  if (earlier_reports_.empty()) return;
  meter::UsageReport report = earlier_reports_[random_.index(earlier_reports_.size())];
  shuffle(report.entries, random_);
  if (random_.percent(40)) report.entries.resize(random_.index(report.entries.size() + 1));
  if (random_.percent(30) && !report.entries.empty()) report.entries.push_back(report.entries.front());
  note("an earlier report again", {report.epoch, static_cast<std::int64_t>(report.entries.size())});
  earlier_reports_.push_back(report);
  if (const auto merged = process_->core().merge(report); !merged) {
    if (!sabotaged()) broken("an earlier report was refused: " + merged.error().message);
    return;
  }
  for (const auto& entry : report.entries) {
    merged_.merge({true, report.epoch, entry.subscription, entry.hour.since_epoch}, counts_of(entry.totals));
  }
  usage_came_in();
}

void Simulation::report_of_another_gateway() {
  if (other_epoch_ == 0 || random_.percent(10)) {
    const std::uint32_t epoch = process_->core().open_epoch(kOther);
    if (epoch == 0) return require(sabotaged(), "no epoch was given out");
    other_epoch_ = epoch;
  }
  std::vector<Source> grown;
  for (std::int64_t i = random_.between(1, 4); i > 0; --i) {
    const SimSubscription& subscription = subscriptions_[random_.index(subscriptions_.size())];
    const Source source{false, other_epoch_, subscription.number, now_hour() - random_.below(4)};
    Counts& counts = truth_[source];
    const bool much = random_.percent(15);
    counts[kSucceeded] += random_.below(10);
    counts[kFailed] += random_.below(3);
    counts[kUnmetered] += random_.below(3);
    counts[kFree] += random_.below(much ? 9'990 : 30);
    counts[kBillable] += random_.below(much ? 400'000 : 60);
    grown.push_back(source);
    earlier_of_others_.emplace_back(source, counts);
  }
  if (random_.percent(20)) return note("the other gateway kept its report");
  deliver_of_others(grown, random_.percent(30));
}

// All but a few, by the other gateway.
void Simulation::use_up_free_points() {
  if (other_epoch_ == 0) other_epoch_ = process_->core().open_epoch(kOther);
  require(other_epoch_ != 0, "no epoch was given out");
  std::vector<Source> used;
  for (const auto& subscription : subscriptions_) {
    if (random_.percent(25)) continue;
    used.push_back({false, other_epoch_, subscription.number, now_hour()});
    truth_[used.back()][kFree] += std::max<std::int64_t>(0, free_left(subscription) - random_.below(100));
  }
  if (!used.empty()) deliver_of_others(used, false);
}

// All that is true now of these sources; or what once was, of sources that were reported or kept before.
void Simulation::deliver_of_others(const std::vector<Source>& sources, bool of_earlier) {
  std::vector<std::pair<Source, Counts>> lines;
  for (const auto& source : sources) lines.emplace_back(source, truth_[source]);
  if (of_earlier && !earlier_of_others_.empty()) {
    lines.clear();
    for (std::int64_t i = random_.between(1, 5); i > 0; --i) {
      lines.push_back(earlier_of_others_[random_.index(earlier_of_others_.size())]);
    }
  }
  const std::uint32_t epoch = lines.front().first.epoch;
  std::erase_if(lines, [&](const auto& line) { return line.first.epoch != epoch; });
  std::vector<billing::NamedUsage> totals;
  for (const auto& [source, counts] : lines) {
    const auto& subscription = *std::ranges::find(subscriptions_, source.subscription, &SimSubscription::number);
    totals.push_back({accounts_[subscription.account].id, services_[subscription.service].id,
                      Hour{static_cast<std::int32_t>(source.hour)}, totals_of(counts)});
  }
  note("a report of the other gateway", {epoch, static_cast<std::int64_t>(lines.size())});
  if (const auto merged = process_->core().merge(kOther, epoch, totals); !merged) {
    if (!sabotaged()) broken("a report of the other gateway was refused: " + merged.error().message);
    return;
  }
  for (const auto& [source, counts] : lines) apply_of_others(source, counts);
  usage_came_in();
}

void Simulation::apply_of_others(const Source& source, const Counts& counts) {
  auto& subscription = *std::ranges::find(subscriptions_, source.subscription, &SimSubscription::number);
  subscription.free_used_elsewhere += merged_.merge(source, counts)[kFree];
}

}  // namespace tollgate::sim
