#include "tests/sim/process.h"

#include <algorithm>
#include <filesystem>

#include "gateway/refusal.h"

namespace tollgate::sim {
namespace {
Fault cannot_start(std::string why) { return {FaultKind::unavailable, "start_failed", std::move(why), ""}; }

std::string code_of(limiter::Refusal refusal) {
  switch (refusal) {
    case limiter::Refusal::quota_exhausted: return "quota_exhausted";
    case limiter::Refusal::arrears: return "arrears";
    case limiter::Refusal::limit_reached: return "limit_reached";
    case limiter::Refusal::no_capacity: return "no_capacity";
  }
  return "";
}
}  // namespace

Counts counts_of(const meter::UsageTotals& totals) {
  return {{totals.calls_succeeded, totals.calls_failed, totals.calls_unmetered, totals.free_points.count(),
           totals.billable_points.count()}};
}

void Saboteur::arm(Kind kind, std::int64_t statements) {
  kind_ = kind;
  left_ = statements;
  broke_ = false;
}

void Saboteur::keep_image() {
  std::filesystem::remove_all(image());
  std::filesystem::copy(folder_, image());
}

bool Saboteur::refuses() {
  if (died_) return true;
  if (paused || !left_) return false;
  if (--*left_ > 0) return false;
  left_.reset();
  broke_ = true;
  if (kind_ == Kind::dies) {
    died_ = true;
    keep_image();
  }
  return true;
}

Process::Process(ProcessOptions options)
    : options_(std::move(options)),
      saboteur_(options_.folder),
      metrics_(kWorkers, gateway::reason_codes()),
      entitlements_(directory_, [this](const std::string& id, std::shared_ptr<const gateway::ServiceConfig> service) {
        if (!service) {
          routes_.erase(id);
          return;
        }
        auto& workers = routes_[id];
        for (std::size_t i = 0; i < kWorkers; ++i) {
          workers[i] = gateway::WorkerServicePtr(new gateway::WorkerService(service, metrics_.cells(i, id)));
        }
      }) {}

Process::~Process() {
  for (std::size_t i = 0; i < kWorkers; ++i) quiescence_.leave(i);
}

Result<void> Process::start() {
  if (auto opened = open_stores(); !opened) return opened;
  return recover();
}

// ---- what depends on the journal's format, on epochs and on the recovery is from here to the end of this file ----

Result<void> Process::open_stores() {  // Serve::open_stores
  auto store = billing::open_sqlite_store(options_.folder);
  if (!store) return store.error();
  store_ = *std::move(store);
  store_->set_statement_hook([this](std::string_view) { return saboteur_.refuses(); });
  auto journal = meter::Journal::open(
      {options_.folder + "/journal", kGateway, store_->identity(), options_.slots, options_.slots});
  if (!journal) return journal.error();
  journal_ = *std::move(journal);
  if (!journal_->findings().empty()) return cannot_start(journal_->findings()[0]);
  for (std::size_t i = 0; i < kWorkers; ++i) recorders_.emplace_back(*journal_);
  return {};
}

Result<void> Process::recover() {  // Serve::start_billing
  core_ = std::make_unique<billing::Core>(*store_, billing::Catalog::built_in(), *options_.plans, *options_.clock,
                                          entitlements_);
  if (options_.dies_at_start_after > 0) saboteur_.arm(Saboteur::Kind::dies, options_.dies_at_start_after);
  const auto held = journal_->held_epochs();
  for (const auto& [epoch, nonce, marked] : held) {
    const auto taken = core_->take_over_epoch(kGateway, nonce);
    if (!taken) return taken.error();
    if (!marked || !taken->given_out_here || taken->epoch != epoch)
      return cannot_start("the journal holds an epoch that was never given out");
  }
  static std::int64_t nonces = 0;  // random in the product; all that counts is that no two are equal
  const auto opened = core_->open_epoch(kGateway, ++nonces, held.empty() ? 0 : held.back().epoch);
  if (!opened) return opened.error();
  epoch_ = *opened;
  if (auto begun = journal_->begin_epoch(epoch_, nonces); !begun) return begun;
  core_->own_epoch(epoch_);
  collector_ = std::make_unique<meter::Collector>(
      *journal_, kGateway, [this](const meter::UsageReport& report) { return options_.deliver(*core_, report); });
  if (auto merged = collector_->collect(hour_of(options_.clock->now())); !merged) return merged;
  auto published = core_->publish_all();
  if (published && !saboteur_.died()) saboteur_.disarm();
  return published;
}

Process::Begun Process::begin_call(std::size_t worker, std::string_view key, const std::string& service) {
  quiescence_.pass(worker);
  auto call = std::make_unique<gateway::Call>();
  call->at = options_.clock->now();
  call->started_ns = call->at.time_since_epoch().count() * 1000 + ++calls_;
  const auto route = routes_.find(service);
  if (route != routes_.end()) call->service = route->second[worker];
  call->account = directory_.identify(sha256(key), call->at);  // from here: Session::decide
  if (call->account == nullptr) return "invalid_key";
  if (!call->service) return "unknown_service";
  call->subscription = directory_.find(*call->account, *call->service->config->limits);
  if (call->subscription == nullptr) return "not_subscribed";
  call->recorder = &recorders_[worker];
  call->slot = call->recorder->slot(call->subscription->number, hour_of(call->at));
  if (call->slot == nullptr) return "journal_full";
  auto decision = limiter::admit(*call->subscription, call->at, call->started_ns);
  if (const auto* refusal = std::get_if<limiter::Refusal>(&decision)) return code_of(*refusal);
  call->admission = std::get<limiter::Admission>(std::move(decision));
  call->admitted = true;
  call->service->cells.in_flight[call->admission.paid ? 0 : 1].add(1);
  return call;
}

bool Process::forward(gateway::Call& call, std::size_t worker) {  // Session::exchange
  call.slot = recorders_[worker].slot(call.subscription->number, hour_of(call.at));
  if (call.slot == nullptr) return false;
  call.forward(call.started_ns + 1);
  return true;
}

Result<void> Process::collect() {  // Serve::collect_usage
  Hour oldest = hour_of(options_.clock->now());
  for (const auto& recorder : recorders_) oldest = std::min(oldest, recorder.latest());
  auto collected = collector_->collect(oldest);
  quiescence_.collect();
  return collected;
}

void Process::tick(std::size_t worker) {  // Worker::tick
  quiescence_.pass(worker);
  recorders_[worker].advance(hour_of(options_.clock->now()));
}

std::map<Source, Counts> Process::journal_counts() const {
  std::map<Source, Counts> counts;
  for (std::uint32_t i = 0; i < journal_->slots_touched(); ++i) {
    const meter::Slot& slot = journal_->slots()[i];
    const std::uint32_t epoch = slot.epoch.load();
    if (epoch == 0 || !journal_->is_whole(i)) continue;
    const std::int64_t interrupted = epoch == journal_->epoch() ? 0 : slot.calls_open();
    counts[{true, epoch, slot.subscription, slot.hour}].add(
        {{slot.calls_succeeded(), slot.calls_failed() + interrupted, slot.calls_unmetered(), slot.free_points().count(),
          slot.billable_points().count()}});
  }
  return counts;
}

}  // namespace tollgate::sim
