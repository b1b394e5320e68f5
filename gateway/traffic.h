// What the admin API may ask of the running data path. Implemented by the wiring (app.cc); a fake in tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tollgate::gateway {

class Traffic {
 public:
  virtual ~Traffic() = default;
  // Calls in flight of a subscription at this instant. Any thread.
  virtual std::int32_t in_flight(std::uint32_t subscription) = 0;
  // Merges all that the journal has counted up to now into the billing core, so that the answer which follows
  // shows it. Billing thread only.
  virtual void flush_usage() = 0;
  // The Prometheus text exposition (version 0.0.4) of everything. Any thread but the workers.
  virtual std::string metrics() = 0;
  // Empty when ready; else why not ("draining", "journal is not writable"). Any thread.
  virtual std::string not_ready_because() = 0;
};

}  // namespace tollgate::gateway
