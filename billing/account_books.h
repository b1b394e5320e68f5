// The money of one account while its hours are settled: what is left of it, and what was charged. It is read from the
// ledger when the account's turn comes and is private to the core_*.cc files; nothing of it outlives the settlement.
#pragma once

#include <string>
#include <vector>

#include "billing/core.h"
#include "billing/store.h"

namespace tollgate::billing {

struct Core::Books {
  std::string account;
  MicroYuan cash;
  std::vector<VoucherRow> vouchers;  // unexpired, in the order in which they pay
  MicroYuan income;                  // from usage, of all accounts
  bool was_in_arrears = false;       // before
  bool settled = false;              // anything, billable or not
  MicroYuan amount;                  // charged
  Month month;                       // of the tier positions that were read with the usage
  bool several_hours = false;        // then tier positions and remainders that were read with the usage may be outdated
};

}  // namespace tollgate::billing
