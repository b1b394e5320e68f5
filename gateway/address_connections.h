// How many connections each client address has open, over all workers, for limits.connections_per_address_max. It knows
// no sockets; its memory is bounded by the connections that are open.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "gateway/client_address.h"

namespace tollgate::gateway {

class AddressConnections {
 public:
  // One open connection; counted until it is destroyed.
  class Place {
   public:
    Place(Place&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), address_(other.address_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (owner_ != nullptr) owner_->leave(address_);
    }

   private:
    friend class AddressConnections;
    Place(AddressConnections& owner, std::uint64_t address) noexcept : owner_(&owner), address_(address) {}
    AddressConnections* owner_;
    std::uint64_t address_;
  };

  explicit AddressConnections(std::uint64_t seed) noexcept : seed_(seed) {}

  // nullopt: the address has `max` connections open. 0: no limit, but they are counted for when one is set. Any thread.
  std::optional<Place> enter(std::uint64_t address, std::int64_t max) {
    Part& part = part_of(address);
    const std::lock_guard lock(part.mutex);
    std::int64_t& open = part.open[address];
    if (max > 0 && open >= max) return std::nullopt;
    ++open;
    return Place(*this, address);
  }

 private:
  // A lock is taken twice in a connection's life and never by a call; it is held for one look-up in memory, and in
  // parts, so that workers that accept at the same time seldom meet.
  struct Part {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, std::int64_t> open;
  };

  Part& part_of(std::uint64_t address) noexcept { return parts_[spread(address, seed_) % parts_.size()]; }
  void leave(std::uint64_t address) noexcept {
    Part& part = part_of(address);
    const std::lock_guard lock(part.mutex);
    const auto found = part.open.find(address);
    if (found != part.open.end() && --found->second == 0) part.open.erase(found);
  }

  const std::uint64_t seed_;
  std::array<Part, 16> parts_;
};

}  // namespace tollgate::gateway
