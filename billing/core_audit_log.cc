// The audit log: changes recorded with what they tell of, listed, and verified.
#include <charconv>

#include "billing/core.h"
#include "billing/page.h"
#include "billing/store.h"

namespace tollgate::billing {

AuditHead Core::append_to_audit_log(const AuditChange& change, const AuditOutcome& outcome) {
  const AuditHead last = store_.audit_head();
  AuditRow row{last.sequence + 1, now(), change, outcome, last.hash, {}};
  row.hash = audit_hash(row);
  store_.insert_audit_row(row);
  return {row.sequence, row.hash};
}

Result<std::optional<AuditHead>> Core::record_change(const AuditChange& change,
                                                     const std::function<AuditOutcome()>& work) {
  std::optional<AuditHead> head;
  bool refused = false;
  const Result<void> outcome = run([&]() -> Result<void> {
    const AuditOutcome done = work();
    refused = done.status >= 400;
    if (refused) return Fault{FaultKind::conflict, "refused", "", {}};  // takes back; never leaves this function
    head = append_to_audit_log(change, done);
    return {};
  });
  if (refused) return std::optional<AuditHead>();
  if (outcome.has_error()) return outcome.error();
  return head;
}

Result<AuditHead> Core::record_after(const AuditChange& change, const AuditOutcome& outcome) {
  return in_transaction([&]() -> Result<AuditHead> { return append_to_audit_log(change, outcome); });
}

Result<Page<AuditRow>> Core::audit_log(std::optional<std::string> after, int limit) {
  return in_transaction([&]() -> Result<Page<AuditRow>> {
    std::int64_t last = 0;
    if (after) {
      const char* end = after->data() + after->size();
      const auto [stop, error] = std::from_chars(after->data(), end, last);
      if (error != std::errc() || stop != end) return invalid("after", "not a cursor of this list");
    }
    const auto rows = store_.audit_rows(last, page_limit(limit) + 1);
    return make_page<AuditRow>(
        rows, limit, [](const AuditRow& row) { return row; },
        [](const AuditRow& row) { return std::to_string(row.sequence); });
  });
}

Result<bool> Core::verify_audit_log_piece(AuditVerifier& verifier) {
  return in_transaction([&]() -> Result<bool> {
    const auto rows = store_.audit_rows(verifier.position(), kPageItemsMax);
    for (const auto& row : rows) verifier.next(row);
    return rows.size() == static_cast<std::size_t>(kPageItemsMax);
  });
}

}  // namespace tollgate::billing
