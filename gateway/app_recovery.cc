// What an earlier process left in the journal is taken over before the first listener opens: under which epochs, and
// what is done about usage that the store cannot place.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "base/ids.h"
#include "gateway/app_serve.h"

namespace tollgate::gateway {
namespace {
std::int64_t random_nonce() { return static_cast<std::int64_t>(std::stoull(random_hex(8), nullptr, 16) >> 1U) | 1; }

std::string to_line(const meter::UsageReport& report, const meter::UsageEntry& entry) {
  return fmt::format(
      "{{\"gateway\":\"{}\",\"epoch\":{},\"subscription_number\":{},\"hour\":\"{}\",\"calls_succeeded\":{},"
      "\"calls_failed\":{},\"calls_unmetered\":{},\"free_points\":{},\"billable_points\":{}}}\n",
      report.gateway, report.epoch, entry.subscription, format_time(begin_of(entry.hour)), entry.totals.calls_succeeded,
      entry.totals.calls_failed, entry.totals.calls_unmetered, entry.totals.free_points.count(),
      entry.totals.billable_points.count());
}

void sync_folder_of(const std::string& path) {
  const int folder = ::open(path.substr(0, path.rfind('/')).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  (void)::fsync(folder);
  ::close(folder);
}

// On the disk when this returns without a fault.
Result<void> append_to(const std::string& path, const std::string& lines) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const bool written = file >= 0 && ::write(file, lines.data(), lines.size()) == static_cast<ssize_t>(lines.size()) &&
                       ::fsync(file) == 0;
  const int error = errno;
  if (file >= 0) ::close(file);
  sync_folder_of(path);
  if (written) return {};
  return Fault{FaultKind::unavailable, "start_failed",
               "cannot write " + path + ": " + std::generic_category().message(error), ""};
}
}  // namespace

Result<void> Serve::take_over_journal() {
  for (const auto& finding : journal_->findings()) spdlog::error("{}", finding);
  // Not a member before all is known: what ends a start half way collects once more if there is one.
  auto collector = std::make_unique<meter::Collector>(
      *journal_, config_->gateway, [this](const meter::UsageReport& report) { return deliver_usage(report); });
  const auto held = journal_->held_epochs();
  for (const auto& [epoch, nonce, marked] : held) {
    const auto taken = core_->take_over_epoch(config_->gateway, nonce, marked ? 0 : epoch);
    if (!taken) return taken.error();
    collector->report_as(epoch, taken->epoch);
    if (taken->given_out_here) continue;
    adopted_epochs_.insert(taken->epoch);
    spdlog::error(
        "the journal holds usage of an epoch {} that this store did not give out, as after a restore of an older copy: "
        "it is counted as epoch {}",
        epoch, taken->epoch);
  }
  const std::int64_t nonce = random_nonce();
  const auto epoch = core_->open_epoch(config_->gateway, nonce, held.empty() ? 0 : held.back().epoch);
  if (!epoch) return epoch.error();
  if (auto begun = journal_->begin_epoch(*epoch, nonce); !begun) return begun;
  core_->own_epoch(*epoch);
  collector_ = std::move(collector);
  spdlog::info("epoch {} of gateway {}", *epoch, config_->gateway);
  return collector_->collect(hour_of(plane_->clock.now()));
}

// A restored store may lack subscriptions that the journal has usage of, or have given their numbers to others since.
// Nobody can be charged for it, and a later subscription of that number must not be: it is written down and given up.
Result<void> Serve::deliver_usage(const meter::UsageReport& report) {
  if (!adopted_epochs_.contains(report.epoch)) {
    auto merged = core_->merge(report);
    if (merged || merged.error().code != "subscription_not_found") return merged;
  }
  meter::UsageReport known{report.gateway, report.epoch, {}};
  std::string unknown;
  std::size_t entries = 0;
  for (const auto& entry : report.entries) {
    const auto possible = core_->may_have_used(entry.subscription, entry.hour);
    if (!possible) return possible.error();
    if (*possible) {
      known.entries.push_back(entry);
    } else {
      unknown += to_line(report, entry);
      ++entries;
    }
  }
  if (auto kept = core_->merge(known); !kept) return kept;
  if (entries == 0) return {};
  const std::string path = config_->data_dir + "/set-aside-usage.jsonl";
  if (auto written = append_to(path, unknown); !written) return written;
  usage_set_aside_.fetch_add(static_cast<std::int64_t>(entries), std::memory_order_relaxed);
  spdlog::error("the journal holds usage of subscriptions that this store does not know: {} entries were written to {}",
                entries, path);
  return {};
}

}  // namespace tollgate::gateway
