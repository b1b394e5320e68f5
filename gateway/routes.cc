#include "gateway/routes.h"

#include <algorithm>
#include <array>

namespace tollgate::gateway {
namespace {
constexpr std::size_t kHostMax = 255;

// Lower-cases into `space`; hosts longer than any valid one find nothing.
std::string_view lower_case(std::string_view host, std::array<char, kHostMax>& space) noexcept {
  if (host.size() > space.size()) return {};
  std::transform(host.begin(), host.end(), space.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return {space.data(), host.size()};
}
}  // namespace

WorkerService* Routes::longest(const Prefixes& prefixes, std::string_view path) noexcept {
  // "/a/b/c", "/a/b", "/a", "/": a prefix is published without its closing slash, "/" alone excepted.
  while (true) {
    if (const auto found = prefixes.find(path); found != prefixes.end()) return found->second.get();
    if (path.size() <= 1) return nullptr;
    const auto slash = path.rfind('/');
    path = path.substr(0, std::max<std::size_t>(slash, 1));
  }
}

WorkerService* Routes::find(std::string_view host, std::string_view path) const noexcept {
  if (!by_host_.empty()) {
    std::array<char, kHostMax> space;
    if (const auto own = by_host_.find(lower_case(host, space)); own != by_host_.end()) {
      if (WorkerService* service = longest(own->second, path)) return service;
    }
  }
  return longest(any_host_, path);
}

void Routes::put(WorkerServicePtr service) {
  remove(service->config->id);
  const ServiceDefinition& definition = service->config->definition;
  auto& prefixes = definition.host ? by_host_[*definition.host] : any_host_;
  prefixes[definition.path_prefix] = service;
  services_[service->config->id] = std::move(service);
}

void Routes::remove(std::string_view id) {
  const auto found = services_.find(id);
  if (found == services_.end()) return;
  const ServiceDefinition& definition = found->second->config->definition;
  auto& prefixes = definition.host ? by_host_[*definition.host] : any_host_;
  const auto place = prefixes.find(definition.path_prefix);
  if (place != prefixes.end() && place->second == found->second) prefixes.erase(place);
  if (definition.host && prefixes.empty()) by_host_.erase(*definition.host);
  services_.erase(found);
}

}  // namespace tollgate::gateway
