// The course of a history: how it is set up, which step comes next, time, death and recovery, and its end.
#include "tests/sim/simulation.h"

#include <cstdio>
#include <filesystem>

namespace tollgate::sim {
namespace {
constexpr std::int64_t kMinuteUs = 60'000'000;
constexpr std::int64_t kHourUs = 60 * kMinuteUs;
constexpr std::uint64_t kFnvPrime = 1099511628211U;
constexpr int kAuditEvery = 150;
}  // namespace

Simulation::Simulation(std::uint64_t seed, std::string folder, bool tracing)
    : folder_(std::move(folder)),
      tracing_(tracing),
      random_(seed),
      // A morning of late August 2021, Beijing: a month's end is near, and the points plan is sold.
      clock_(begin_of(parse_month("2021-09").value()) - std::chrono::hours(40)),
      plans_(billing::built_in_plans()) {
  clock_.advance(std::chrono::microseconds(random_.below(39 * kHourUs)));
  // The shipped plans; in some histories with less to give away, so that its end is met often.
  free_grant_ = random_.one_of<std::int64_t>({10'000, 10'000, 500, 130});
  plans_.front().free_quota = Points(free_grant_);
  slots_ = random_.one_of<std::uint32_t>({12, 30, 100});  // of the journal: few are full now and then
  guards_ = random_.percent(25);
  if (guards_) plans_.front().arrears_check = billing::ArrearsCheck::realtime;
}

Simulation::~Simulation() {
  calls_.clear();  // they point into the process
  process_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
  std::filesystem::remove_all(folder_ + ".image", ignored);
}

void Simulation::note(std::string_view what, std::initializer_list<std::int64_t> values) {
  for (const char c : what) trajectory_ = (trajectory_ ^ static_cast<unsigned char>(c)) * kFnvPrime;
  for (const std::int64_t value : values) trajectory_ = (trajectory_ ^ static_cast<std::uint64_t>(value)) * kFnvPrime;
  if (!tracing_) return;
  std::printf("%4d %s  %.*s", step_, format_time(clock_.now()).c_str(), static_cast<int>(what.size()), what.data());
  for (const std::int64_t value : values) std::printf(" %lld", static_cast<long long>(value));
  std::printf("\n");
}

void Simulation::broken(const std::string& what) const { throw Broken(what); }

void Simulation::run(int steps) {
  set_up();
  for (step_ = 1; step_ <= steps; ++step_) {
    latest_us_ = std::max(latest_us_, now_us());
    one_step();
    check_step();
    if (step_ % kAuditEvery == 0) check_audit();
  }
  finish();
}

void Simulation::set_up() {
  std::filesystem::remove_all(folder_);
  std::filesystem::create_directories(folder_);
  start_process();
  for (const char* id : {"acme", "bolt", "crow"}) {
    accounts_.push_back({id, {}, {}, {}});
    require(process_->core().put_account(id, id).has_value(), "an account cannot be made");
    const auto key = process_->core().create_key(id, "first", std::nullopt);
    require(key.has_value(), "a key cannot be made");
    accounts_.back().keys.push_back({key->key.id, key->secret});
  }
  settled_through_ = now_hour();  // nothing is due before the first account
  services_ = {{"detect", {"object-detection/high-performance", 5, 4}},
               {"vision", {"image-classification/high-performance", 4, 10}, 6, 50},
               {"ultra", {"object-detection/ultra-accuracy", 60, 4}}};
  for (std::size_t i = 0; i < services_.size(); ++i) put_service(i);
  for (int i = 0; i < 6; ++i) deposit();
  while (subscriptions_.size() < 5) add_subscription();
  if (random_.percent(50)) report_of_another_gateway();
  if (random_.percent(70)) use_up_free_points();
  check_step();
}

void Simulation::one_step() {
  const std::int64_t dice = random_.below(1000);
  if (dice < 250) return begin_call();
  if (dice < 290) return begin_burst();
  if (dice < 310) return call_with_a_bad_key();
  if (dice < 325) return call_without_subscription();
  if (dice < 390) return forward_call();
  if (dice < 590) return end_calls();
  if (dice < 610) return drop_call();
  if (dice < 690) return collect_somehow(), void();
  if (dice < 715) return redeliver();
  if (dice < 745) return report_of_another_gateway();
  if (dice < 835) return move_time();
  if (dice < 885) return settle_all();
  if (dice < 905) return settle_some();
  if (dice < 975) return billing_step();
  if (dice < 985) return crash();
  crash_inside();
}

void Simulation::move_time() {
  const std::int64_t dice = random_.below(100);
  std::int64_t by = random_.below(5 * kMinuteUs);
  if (dice >= 40) by = random_.below(40 * kMinuteUs);
  if (dice >= 65) by = kHourUs - now_us() % kHourUs + random_.one_of<std::int64_t>({-1, 0, 1, kMinuteUs});
  if (dice >= 80) by = random_.below(3 * kHourUs);
  if (dice >= 88) by = random_.below(26 * kHourUs);
  if (dice >= 90) by = -random_.below(70 * kMinuteUs);                                  // as a clock that is set right
  if (dice >= 99 && random_.percent(20)) by = random_.between(20, 400) * 24 * kHourUs;  // packages expire
  clock_.advance(std::chrono::microseconds(by));
  note("time moves by seconds", {by / 1'000'000});
  for (std::size_t i = 0; i < kWorkers; ++i) {
    if (random_.percent(20)) continue;  // busy: it will tick later
    process_->tick(i);
    worker_hour_[i] = std::max(worker_hour_[i], now_hour());
  }
}

// Killed now, and started again on what the files hold.
void Simulation::crash() {
  note("killed");
  if (!process_->saboteur().died()) process_->saboteur().keep_image();
  interrupt_calls();
  const std::string image = process_->saboteur().image();
  process_.reset();
  std::filesystem::remove_all(folder_);
  std::filesystem::rename(image, folder_);
  start_process();
}

// Killed, or a disk that fails once, at some statement of what writes to the store.
void Simulation::crash_inside() {
  const bool dies = random_.percent(60);
  const std::int64_t statements = random_.between(1, random_.one_of({5, 20, 60}));
  note(dies ? "to be killed after statements" : "a disk that fails after statements", {statements});
  process_->saboteur().arm(dies ? Saboteur::Kind::dies : Saboteur::Kind::fails_once, statements);
  switch (random_.below(6)) {
    case 0: collect_somehow(); break;
    case 1: redeliver(); break;
    case 2: report_of_another_gateway(); break;
    case 3: settle_some(); break;
    case 4: settle_all(); break;
    default: billing_step();
  }
  if (dies) return crash();
  process_->saboteur().disarm();
}

// Until one start comes through: others may be killed on their way.
void Simulation::start_process() {
  for (int tries = 0;; ++tries) {
    ProcessOptions options{folder_, &clock_, &plans_, slots_, 0, {}};
    if (tries < 3 && step_ > 0 && random_.percent(20)) options.dies_at_start_after = random_.between(1, 30);
    options.deliver = [this](billing::Core& core, const meter::UsageReport& report) { return deliver(core, report); };
    process_ = std::make_unique<Process>(std::move(options));
    const auto started = process_->start();
    run_under_way_ = false;
    if (started && !process_->saboteur().died()) break;
    if (!process_->saboteur().died()) broken("the gateway did not start: " + started.error().message);
    note("killed at its start");
    const std::string image = process_->saboteur().image();
    process_.reset();
    std::filesystem::remove_all(folder_);
    std::filesystem::rename(image, folder_);
  }
  note("started", {process_->epoch()});
  store_changed_ = true;
  check_stored_is_truth();
}

void Simulation::finish() {
  note("the end");
  while (!calls_.empty()) {
    if (calls_.front().forwarded) {
      end(0);
    } else {
      remove_call(0);
    }
  }
  std::vector<Source> others;
  for (const auto& [source, counts] : truth_) {
    if (!source.own) others.push_back(source);
  }
  for (const auto& source : others) deliver_of_others({source}, false);
  require(collect(Mood::takes), "a collection failed for no reason");
  for (int i = 0; i < 2; ++i) {
    clock_.set(WallTime(std::chrono::microseconds(std::max(latest_us_, now_us()))) + std::chrono::hours(3));
    latest_us_ = now_us();
    for (std::size_t worker = 0; worker < kWorkers; ++worker) process_->tick(worker);
    require(collect(Mood::takes), "a collection failed for no reason");
    while (settle_piece()) {
    }
  }
  check_step();
  check_settled_up_to(now_hour());
  check_audit();
  check_bills();
  require(process_->slots_used() == 0, "the journal keeps slots of hours that are over");
  for (const auto& [source, counts] : truth_) {
    if (merged_.at(source) != counts) broken("at the end the ledger is not the truth");
    for (const std::int64_t count : counts.of) note("", {count});
  }
  for (const auto& account : accounts_) note(account.id, {account.money.cash, account.money.vouchers});
}

}  // namespace tollgate::sim
