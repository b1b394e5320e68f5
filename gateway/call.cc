#include "gateway/call.h"

namespace tollgate::gateway {

void Call::forward(std::int64_t now_ns) noexcept {
  if (forwarded_ns != 0) return;  // a retry is the same call
  forwarded_ns = now_ns;
  const Points free = admission.hold.points();
  recorder->forwarded(*slot, free);
  admission.hold.spend();
  service->cells.free_points.add(free.count());
}

void Call::end(meter::Outcome how) noexcept {
  if (ended || forwarded_ns == 0) return;
  ended = true;
  outcome = how;
  if (how == meter::Outcome::succeeded && !admission.unmetered) billable = admission.cost - admission.hold.points();
  recorder->ended(*slot, how, admission.unmetered, billable);
  service->cells.calls[static_cast<std::size_t>(how)].add(1);
  service->cells.billable_points.add(billable.count());
}

void Call::release() noexcept {
  if (!admitted) return;
  admitted = false;
  admission.permit.release();
  admission.service_permit.release();
  if (forwarded_ns == 0) admission.hold = {};  // no call was made: the free points go back before the client hears it
  service->cells.in_flight[admission.paid ? 0 : 1].add(-1);
}

}  // namespace tollgate::gateway
