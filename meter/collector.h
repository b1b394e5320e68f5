// The collector: turns the journal's slots into reports of cumulative totals and recycles what was acknowledged.
// It reads cells that workers go on writing; it never resets one and never sends a difference.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/calendar.h"
#include "base/fault.h"
#include "meter/journal.h"
#include "meter/report.h"

namespace tollgate::meter {

class Collector {
 public:
  // Delivers one report; success means it is durable at the receiver. A failure is repeated with the next round.
  using Deliver = std::function<Result<void>(const UsageReport&)>;

  // Takes over what the journal already holds: slots of earlier epochs, whose open calls are counted as failed
  // (they were forwarded, and the process died before they ended).
  Collector(Journal& journal, std::string gateway, Deliver deliver);

  // Usage that the journal holds under `held` is reported under `epoch`. Before the first round.
  void report_as(std::uint32_t held, std::uint32_t epoch) { reported_as_[held] = epoch; }

  // One round on the collector's thread: reports all totals that changed since they were last acknowledged (it looks
  // only at slots that were counted into since the last round, and at what a round before could not deliver), then
  // recycles slots of hours before `oldest` minus one whose calls have all ended. `oldest`: the least of all
  // workers' Recorder::latest(). A clock alone would not do: one that jumps ahead and comes back must not let a
  // worker count into a slot that is somebody else's by then. Returns the first fault.
  Result<void> collect(Hour oldest);

  // Billable and free points counted but not acknowledged by the receiver, as of the last round.
  [[nodiscard]] Points unacknowledged() const noexcept { return unacknowledged_; }

 private:
  struct Key {
    std::uint32_t epoch = 0;
    std::uint32_t subscription = 0;
    Hour hour;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct Group {  // all slots of one key: one for each worker that served it
    std::vector<std::uint32_t> slots;
    UsageTotals acknowledged;
    bool known = false;    // acknowledged at least once
    bool changed = false;  // in changed_
  };
  using Item = std::pair<const Key, Group>;
  struct Reported {  // what a report says of each group, entry by entry
    std::vector<UsageEntry> entries;
    std::vector<Item*> items;
  };

  void find_changes();
  Item& group_of(std::uint32_t index);
  [[nodiscard]] UsageTotals sum(const Item& item) const;
  [[nodiscard]] std::map<std::uint32_t, Reported> what_is_new();
  Result<void> report(std::uint32_t epoch, const Reported& whole);
  void recycle_before(Hour hour);
  [[nodiscard]] bool recycle(Item& item);

  Journal& journal_;
  std::string gateway_;
  Deliver deliver_;
  std::unordered_map<std::uint32_t, std::uint32_t> reported_as_;  // where the numbers differ
  std::unordered_map<Key, Group, KeyHash> groups_;
  std::vector<Item*> group_of_;                         // by the slot's index; null: in none
  std::vector<Item*> changed_;                          // those that may differ from what was acknowledged
  std::map<std::int32_t, std::vector<Item*>> by_hour_;  // groups of the running epoch
  std::vector<Item*> over_;                             // of earlier ones
  Points unacknowledged_;
};

}  // namespace tollgate::meter
