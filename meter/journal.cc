#include "meter/journal.h"

#include <algorithm>
#include <cerrno>
#include <map>

#include "base/check.h"
#include "base/fail_point.h"

namespace tollgate::meter {
namespace {
using Link = std::atomic_ref<std::uint32_t>;

std::uint32_t check_of(const EpochMark& mark, std::uint32_t salt) noexcept {
  const std::array<std::uint32_t, 3> words = {mark.epoch, static_cast<std::uint32_t>(mark.nonce),
                                              static_cast<std::uint32_t>(mark.nonce >> 32)};
  return fnv1a(words.data(), sizeof words, salt);
}

// The number of slots that were synced, with its check; a damaged or missing note reads as 0.
std::uint64_t synced_note(std::uint32_t slots, std::uint32_t salt) noexcept {
  return (std::uint64_t{fnv1a(&slots, sizeof slots, salt)} << 32) | slots;
}
std::uint32_t synced_slots(std::uint64_t note, std::uint32_t salt) noexcept {
  const auto slots = static_cast<std::uint32_t>(note);
  return note == synced_note(slots, salt) ? slots : 0;
}

// For slots whose epoch's mark is damaged: the same at every start, so that their usage is taken once.
std::int64_t nonce_without_mark(std::uint32_t epoch, std::uint32_t salt) noexcept {
  return static_cast<std::int64_t>((std::uint64_t{fnv1a(&epoch, sizeof epoch, salt)} << 31) | (epoch & 0x7fffffffU));
}
}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(const JournalOptions& options) {
  std::unique_ptr<Journal> journal(new Journal());
  const JournalOwner owner{options.gateway, options.store};
  journal->salt_ = owner.salt();
  journal->piece_ = options.slots;
  if (auto opened = journal->mapping_.open(options.path, owner, options.slots, options.slots_max); !opened) {
    return opened.error();
  }
  journal->count_.store(journal->mapping_.count(), std::memory_order_relaxed);
  journal->taken_ = &journal->add_marks();
  journal->findings_ = journal->mapping_.findings();
  journal->load_slots();
  return journal;
}

Journal::~Journal() {
  if (slots_total() > 0) (void)sync();
}

void Journal::load_slots() {
  std::uint32_t touched = 0;
  std::uint32_t revived = 0;
  Slot* slots = mapping_.slots();
  for (std::uint32_t i = 0; i < slots_total(); ++i) {
    if (slots[i].epoch.load(std::memory_order_relaxed) == 0) {
      if (slots[i].check == 0 || !revive(i)) continue;
      ++revived;
    }
    touched = i + 1;
    taken_->set(i);  // what was acknowledged before is not known here
    if (!is_whole(i)) ++damaged_;
    used_.fetch_add(1, std::memory_order_relaxed);
  }
  if (revived > 0) {
    findings_.push_back(std::to_string(revived) +
                        " slots of the journal were damaged in their epoch: it is restored, they are counted");
  }
  if (damaged_ > 0) {
    findings_.push_back(std::to_string(damaged_) + " slots of the journal are damaged: set aside, not counted");
  }
  if (const std::uint32_t zeroed = find_zeroed_slots(); zeroed > 0) {
    damaged_ += zeroed;
    findings_.push_back(std::to_string(zeroed) +
                        " slots of the journal were written and are zeros now: usage in them "
                        "that was not merged is lost");
  }
  fresh_.store(touched, std::memory_order_relaxed);
  for (const auto& held : held_epochs()) {
    if (held.marked) continue;
    findings_.push_back("the journal's mark of epoch " + std::to_string(held.epoch) +
                        " is damaged: its usage is counted under that number");
  }
  for (std::uint32_t i = touched; i-- > 0;) {
    if (slots[i].epoch.load(std::memory_order_relaxed) == 0) push_free(i);
  }
}

// A slot without an epoch whose check fits one was not given back: damage freed it. (Or a kill came between the two
// writes of recycle(): then what it holds was acknowledged, and reporting it again changes nothing.)
bool Journal::revive(std::uint32_t index) noexcept {
  Slot& slot = mapping_.slots()[index];
  for (const EpochMark& mark : mapping_.page().epochs) {
    if (mark.epoch == 0 || mark.check != check_of(mark, salt_)) continue;
    if (slot.check != slot_check(slot, mark.epoch, index, salt_)) continue;
    slot.epoch.store(mark.epoch, std::memory_order_relaxed);
    return true;
  }
  return false;
}

// A slot that was ever taken keeps some of its words when it is given back, so zeros among those that were synced are
// somebody else's. (But for a slot that a worker had taken and not written when it was killed, within nanoseconds of
// a sync: then a line is said that need not be.)
std::uint32_t Journal::find_zeroed_slots() const noexcept {
  const std::uint32_t synced = synced_slots(mapping_.page().synced.load(std::memory_order_relaxed), salt_);
  std::uint32_t zeroed = 0;
  for (std::uint32_t i = 0; i < std::min(synced, slots_total()); ++i) {
    const auto* bytes = reinterpret_cast<const char*>(mapping_.slots() + i);
    if (std::all_of(bytes, bytes + sizeof(Slot), [](char byte) { return byte == 0; })) ++zeroed;
  }
  return zeroed;
}

std::vector<HeldEpoch> Journal::held_epochs() const {
  std::map<std::uint32_t, HeldEpoch> found;
  for (std::uint32_t i = 0; i < slots_touched(); ++i) {
    const std::uint32_t epoch = mapping_.slots()[i].epoch.load(std::memory_order_relaxed);
    if (epoch != 0 && is_whole(i)) found.try_emplace(epoch, HeldEpoch{epoch, nonce_without_mark(epoch, salt_), false});
  }
  for (const EpochMark& mark : mapping_.page().epochs) {
    const auto held = found.find(mark.epoch);
    if (held != found.end() && mark.check == check_of(mark, salt_)) held->second = {mark.epoch, mark.nonce, true};
  }
  std::vector<HeldEpoch> epochs;
  for (const auto& [epoch, held] : found) epochs.push_back(held);
  return epochs;
}

Result<void> Journal::begin_epoch(std::uint32_t epoch, std::int64_t nonce) {
  const auto held = held_epochs();
  TOLLGATE_CHECK(epoch_ == 0 && epoch > 0);
  auto& marks = mapping_.page().epochs;
  const auto free = std::find_if(marks.begin(), marks.end(), [&](const EpochMark& mark) {
    return std::none_of(held.begin(), held.end(), [&](const HeldEpoch& other) { return other.epoch == mark.epoch; });
  });
  if (free == marks.end()) {
    return Fault{FaultKind::unavailable, "journal_failed", "the journal holds usage of too many epochs", ""};
  }
  TOLLGATE_CHECK(held.empty() || epoch > held.back().epoch);
  EpochMark mark{epoch, 0, nonce};
  mark.check = check_of(mark, salt_);
  *free = mark;
  // Before the first slot under it: a power cut must not leave usage of an epoch that cannot be told from others. All
  // slots, since free ones may still be taken on the disk, under the epoch whose mark was just overwritten.
  if (const int error = sync_slots(slots_total()); error != 0) {
    return Fault{FaultKind::unavailable, "journal_failed",
                 "cannot write the journal: " + std::generic_category().message(error), ""};
  }
  epoch_ = epoch;
  return {};
}

std::optional<std::uint32_t> Journal::pop_free() noexcept {
  std::uint64_t top = free_.load(std::memory_order_acquire);
  while ((top & 0xffffffffU) != 0) {
    const std::uint32_t index = static_cast<std::uint32_t>(top) - 1;
    const std::uint64_t tag = (top >> 32) + 1;
    // Another taker may have it by now and write its subscription here: then the tag has changed and the exchange
    // fails.
    const std::uint64_t below = Link(mapping_.slots()[index].subscription).load(std::memory_order_relaxed);
    if (free_.compare_exchange_weak(top, (tag << 32) | below, std::memory_order_acquire)) return index;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> Journal::next_fresh() noexcept {
  std::uint32_t index = fresh_.load(std::memory_order_relaxed);
  while (index < count_.load(std::memory_order_acquire)) {
    if (fresh_.compare_exchange_weak(index, index + 1, std::memory_order_relaxed)) return index;
  }
  return std::nullopt;
}

Slot* Journal::take(std::uint32_t subscription, Hour hour) noexcept {
  TOLLGATE_CHECK(epoch_ != 0);
  auto index = pop_free();
  if (!index) index = next_fresh();
  if (!index) return nullptr;
  Slot& slot = mapping_.slots()[*index];
  Link(slot.subscription).store(subscription, std::memory_order_relaxed);
  slot.hour = hour.since_epoch;
  const std::uint32_t check = slot_check(slot, epoch_, *index, salt_);
  for (Tally* tally : {&slot.forwarded, &slot.succeeded, &slot.unbilled}) tally->clear(check);
  // A kill between here and the epoch leaves a whole slot of no calls, and none before.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  slot.check = check;
  slot.epoch.store(epoch_, std::memory_order_release);
  taken_->set(*index);
  used_.fetch_add(1, std::memory_order_relaxed);
  return &slot;
}

ChangeMarks& Journal::add_marks() {
  const std::lock_guard lock(marks_mutex_);
  return marks_.emplace_back(mapping_.count_max());
}

void Journal::recycle(Slot& slot) noexcept {
  slot.epoch.store(0, std::memory_order_release);
  slot.check = 0;  // what is given back looks different from a slot whose epoch was damaged
  used_.fetch_sub(1, std::memory_order_relaxed);
  push_free(static_cast<std::uint32_t>(&slot - mapping_.slots()));
}

void Journal::push_free(std::uint32_t index) noexcept {
  std::uint64_t top = free_.load(std::memory_order_relaxed);
  std::uint64_t next = 0;
  do {
    Link(mapping_.slots()[index].subscription).store(static_cast<std::uint32_t>(top), std::memory_order_relaxed);
    next = (((top >> 32) + 1) << 32) | (index + 1);
  } while (!free_.compare_exchange_weak(top, next, std::memory_order_release, std::memory_order_relaxed));
}

bool Journal::is_whole(std::uint32_t index) const noexcept {
  const Slot& slot = mapping_.slots()[index];
  const std::uint32_t epoch = slot.epoch.load(std::memory_order_acquire);
  if (epoch == 0 || slot.check != slot_check(slot, epoch, index, salt_)) return false;
  // Those of our own epoch are being written: a look from here could see two halves.
  const auto whole = [&slot](const Tally& tally) { return tally.is_whole(slot.check); };
  return epoch == epoch_ || (whole(slot.forwarded) && whole(slot.succeeded) && whole(slot.unbilled));
}

Result<bool> Journal::grow_if_short() {
  const std::uint32_t count = slots_total();
  if (count >= mapping_.count_max() || count - slots_used() > piece_ / 4) return false;
  TOLLGATE_FAIL_POINT("journal.grow");
  const std::uint32_t room = mapping_.count_max() - count;
  if (auto grown = mapping_.grow(count + std::min(room, piece_)); !grown) {
    sync_failed_ = true;  // it synced too, and the system tells an error of the disk once
    return grown.error();
  }
  count_.store(mapping_.count(), std::memory_order_release);
  return true;
}

int Journal::sync() noexcept { return sync_slots(slots_touched()); }

int Journal::sync_slots(std::uint32_t slots) noexcept {
  const std::uint32_t touched = slots_touched();
  if (sync_failed_) mapping_.mark_dirty(slots);
  int error = TOLLGATE_FAIL_ERRNO("journal.sync");
  if (error == 0) error = mapping_.sync(slots);
  sync_failed_ = error != 0;
  const std::uint64_t note = synced_note(touched, salt_);
  auto& synced = mapping_.page().synced;
  if (error == 0 && synced.load(std::memory_order_relaxed) != note) synced.store(note, std::memory_order_relaxed);
  return error;
}

}  // namespace tollgate::meter
