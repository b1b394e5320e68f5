// From host and path to a service: the longest published prefix that ends at a segment border, a host's own routes
// before those of any host. A worker's own table; it holds no limits.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "gateway/upstream.h"

namespace tollgate::gateway {

struct StringHash {  // lets maps of std::string be asked by std::string_view
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
};

class Routes {
 public:
  // nullptr: no such route. `host` without port, in any case; `path` canonical.
  [[nodiscard]] WorkerService* find(std::string_view host, std::string_view path) const noexcept;

  void put(WorkerServicePtr service);
  void remove(std::string_view service);

  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [id, service] : services_) visit(*service);
  }

 private:
  using Prefixes = std::unordered_map<std::string, WorkerServicePtr, StringHash, std::equal_to<>>;

  static WorkerService* longest(const Prefixes& prefixes, std::string_view path) noexcept;

  std::unordered_map<std::string, WorkerServicePtr, StringHash, std::equal_to<>> services_;  // by id
  Prefixes any_host_;
  std::unordered_map<std::string, Prefixes, StringHash, std::equal_to<>> by_host_;
};

}  // namespace tollgate::gateway
