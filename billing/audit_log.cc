#include "billing/audit_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/ids.h"

namespace tollgate::billing {
namespace {
constexpr std::size_t kHashDigits = 64;

bool is_hash(std::string_view text) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return text.size() == kHashDigits && std::all_of(text.begin(), text.end(), is_digit);
}
}  // namespace

AuditHead empty_audit_log() { return {0, std::string(kHashDigits, '0')}; }

// Lines, the body last: none of the others can hold a line's end, so no two rows have the same bytes.
std::string audit_bytes(const AuditRow& row) {
  const AuditChange& change = row.change;
  return fmt::format("tollgate-audit-log-1\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", row.previous_hash,
                     row.sequence, format_time(row.at), change.role, change.address, change.request_id, change.method,
                     change.path, row.outcome.status, row.outcome.made, change.body);
}

std::string audit_hash(const AuditRow& row) {
  const Sha256 digest = sha256(audit_bytes(row));
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string format_audit_head(const AuditHead& head) { return fmt::format("{}:{}", head.sequence, head.hash); }

std::optional<AuditHead> parse_audit_head(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || !is_hash(text.substr(colon + 1))) return std::nullopt;
  AuditHead head{0, std::string(text.substr(colon + 1))};
  const char* const end = text.data() + colon;
  const auto [stop, error] = std::from_chars(text.data(), end, head.sequence);
  if (error != std::errc() || stop != end || head.sequence < 0) return std::nullopt;
  return head;
}

AuditVerifier::AuditVerifier(std::optional<AuditHead> kept) : kept_(std::move(kept)) {
  found_.head = empty_audit_log();
  if (kept_ && kept_->sequence == 0 && kept_->hash != found_.head.hash) break_at(0, "no log begins with that hash");
}

// Only the first is told: what comes after it may be its consequence.
void AuditVerifier::break_at(std::int64_t sequence, std::string reason) {
  if (!found_.first_break) found_.first_break = AuditVerification::Break{sequence, std::move(reason)};
}

void AuditVerifier::next(const AuditRow& row) {
  if (row.sequence != found_.head.sequence + 1) {
    break_at(found_.head.sequence + 1, "it is missing");
  } else if (row.previous_hash != found_.head.hash) {
    break_at(row.sequence, "its previous_hash is not the hash of the row before it");
  } else if (row.hash != audit_hash(row)) {
    break_at(row.sequence, "its hash is not that of what it says");
  } else if (kept_ && kept_->sequence == row.sequence && kept_->hash != row.hash) {
    break_at(row.sequence, "its hash is not the one that was kept");
  }
  found_.head = {row.sequence, row.hash};
  position_ = row.sequence;
}

AuditVerification AuditVerifier::end() {
  if (kept_ && kept_->sequence > found_.head.sequence) {
    break_at(found_.head.sequence + 1, fmt::format("it is missing: the log ends at {}, and a head at {} was kept",
                                                   found_.head.sequence, kept_->sequence));
  }
  return std::move(found_);
}

}  // namespace tollgate::billing
