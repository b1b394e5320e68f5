// The audit log: a row for every change that was made from outside, each bound to the one before it by a hash.
// It is not the audit of the books (Core::audit), which recomputes sums; this one tells who changed what, and when.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/calendar.h"

namespace tollgate::billing {

struct AuditChange {  // what is known before the change is made
  std::string role;   // by whose token
  std::string address;
  std::string request_id;
  std::string method;
  std::string path;
  std::string body;  // canonical JSON, without secrets
};

struct AuditOutcome {
  int status = 0;
  std::string made;  // the id of what was made, if the answer names one
};

struct AuditHead {  // a row's place in the chain: whoever keeps it elsewhere sees when the log no longer leads to it
  std::int64_t sequence = 0;  // 0: before the first row
  std::string hash;           // 64 hex digits
  friend bool operator==(const AuditHead&, const AuditHead&) = default;
};

struct AuditRow {
  std::int64_t sequence = 0;  // 1, 2, 3 and so on, without a gap
  WallTime at;
  AuditChange change;
  AuditOutcome outcome;
  std::string previous_hash;
  std::string hash;
};

struct AuditVerification {
  AuditHead head;  // the last row there is
  struct Break {
    std::int64_t sequence = 0;  // the first row that does not fit, or that is not there
    std::string reason;
  };
  std::optional<Break> first_break;
};

// The head of an empty log: sequence 0 and 64 zeros.
[[nodiscard]] AuditHead empty_audit_log();

// The exact bytes that are hashed (docs/audit-log.md), and the SHA-256 of them in hex. row.hash is not a part.
[[nodiscard]] std::string audit_bytes(const AuditRow& row);
[[nodiscard]] std::string audit_hash(const AuditRow& row);

// "SEQUENCE:HASH", as people keep it; nullopt: it is not one.
[[nodiscard]] std::string format_audit_head(const AuditHead& head);
[[nodiscard]] std::optional<AuditHead> parse_audit_head(std::string_view text);

// Follows the chain row by row. `kept`: a head that was kept elsewhere, which the log must lead through.
class AuditVerifier {
 public:
  explicit AuditVerifier(std::optional<AuditHead> kept);
  void next(const AuditRow& row);                                             // in order of their sequence
  [[nodiscard]] std::int64_t position() const noexcept { return position_; }  // the sequence of the row before the next
  [[nodiscard]] AuditVerification end();

 private:
  void break_at(std::int64_t sequence, std::string reason);

  std::optional<AuditHead> kept_;
  std::int64_t position_ = std::numeric_limits<std::int64_t>::min();  // somebody may have put rows before the first
  AuditVerification found_;
};

}  // namespace tollgate::billing
