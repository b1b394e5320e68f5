#include "gateway/admin_token.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/ids.h"

namespace tollgate::gateway {
namespace {

constexpr std::size_t kTokenBytesMax = 512;
constexpr std::size_t kGeneratedBytes = 32;

struct SecretKind {
  std::string_view name;
  std::string_view code;
  std::string_view field;  // the configuration key
};
constexpr SecretKind kAdminToken{"the admin token", "invalid_admin_token", "admin_token_file"};
constexpr SecretKind kBillingReadToken{"the billing-read token", "invalid_billing_read_token",
                                       "admin_billing_read_token_file"};
constexpr SecretKind kWebhookSecret{"the webhook's secret", "invalid_webhook_secret", "billing.webhook_secret_file"};

Fault fault_of(const SecretKind& kind, std::string message) {
  return {FaultKind::invalid, std::string(kind.code), std::move(message), std::string(kind.field)};
}

bool is_token(std::string_view text) noexcept {
  const auto is_visible = [](char c) { return c > 0x20 && c < 0x7f; };
  return !text.empty() && text.size() <= kTokenBytesMax && std::all_of(text.begin(), text.end(), is_visible);
}

class File {
 public:
  File(const std::string& path, int flags, mode_t mode = 0) : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

Result<AdminToken> read_secret(const SecretKind& kind, const std::string& path) {
  const File file(path, O_RDONLY);
  if (file.fd() < 0) {
    return fault_of(kind, fmt::format("cannot read {} from {}: {}", kind.name, path, std::strerror(errno)));
  }
  struct stat status {};
  if (::fstat(file.fd(), &status) != 0) return fault_of(kind, fmt::format("{}: {}", path, std::strerror(errno)));
  // Read access for the group is how orchestrators mount secrets for a service; nothing beyond that.
  if ((status.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
    return fault_of(kind, fmt::format("{} can be read or changed by others (mode {:04o}): chmod 600 it", path,
                                      status.st_mode & 07777));
  }
  std::string text(kTokenBytesMax + 3, '\0');
  const auto size = ::read(file.fd(), text.data(), text.size());
  if (size < 0) return fault_of(kind, fmt::format("{}: {}", path, std::strerror(errno)));
  text.resize(static_cast<std::size_t>(size));
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (!is_token(text)) {
    return fault_of(kind,
                    fmt::format("{} must hold one token of 1 to {} visible ASCII characters", path, kTokenBytesMax));
  }
  return AdminToken{std::move(text), path, false};
}

Result<AdminToken> make_secret(const SecretKind& kind, const std::string& path) {
  const AdminToken made{random_hex(kGeneratedBytes), path, true};
  const std::string line = made.token + "\n";
  const File file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  const auto size = static_cast<ssize_t>(line.size());
  if (file.fd() < 0 || ::write(file.fd(), line.data(), line.size()) != size || ::fsync(file.fd()) != 0) {
    const int reason = errno;
    if (file.fd() >= 0) ::unlink(path.c_str());
    return fault_of(kind, fmt::format("cannot write {} to {}: {}", kind.name, path, std::strerror(reason)));
  }
  return made;
}

Result<AdminToken> read_or_make_secret(const SecretKind& kind, const Config& config, std::string_view name) {
  std::error_code error;
  if (!std::filesystem::exists(config.data_dir, error) && std::filesystem::create_directories(config.data_dir, error)) {
    std::filesystem::permissions(config.data_dir, std::filesystem::perms::owner_all, error);
  }
  const std::string path = fmt::format("{}/{}", config.data_dir, name);
  auto secret = std::filesystem::exists(path, error) ? read_secret(kind, path) : make_secret(kind, path);
  if (secret.has_value()) spdlog::info("{} is {} {}", kind.name, secret->generated ? "new, and in" : "in", path);
  return secret;
}
}  // namespace

Result<AdminToken> load_admin_token(const Config& config) {
  const char* given = std::getenv("TOLLGATE_ADMIN_TOKEN");
  if (given != nullptr && *given != '\0') {
    if (is_token(given)) return AdminToken{given, "TOLLGATE_ADMIN_TOKEN", false};
    return fault_of(kAdminToken,
                    fmt::format("TOLLGATE_ADMIN_TOKEN must be 1 to {} visible ASCII characters", kTokenBytesMax));
  }
  if (!config.admin_token_file.empty()) return read_secret(kAdminToken, config.admin_token_file);
  return read_or_make_secret(kAdminToken, config, "admin-token");
}

Result<std::string> load_billing_read_token(const Config& config, std::string_view admin_token) {
  const char* given = std::getenv("TOLLGATE_BILLING_READ_TOKEN");
  std::string token = given == nullptr ? "" : given;
  if (!token.empty() && !is_token(token)) {
    return fault_of(
        kBillingReadToken,
        fmt::format("TOLLGATE_BILLING_READ_TOKEN must be 1 to {} visible ASCII characters", kTokenBytesMax));
  }
  if (token.empty() && !config.admin_billing_read_token_file.empty()) {
    auto read = read_secret(kBillingReadToken, config.admin_billing_read_token_file);
    if (read.has_error()) return read.error();
    token = std::move(read->token);
  }
  if (token == admin_token) return fault_of(kBillingReadToken, "the billing-read token must not be the admin token");
  return token;
}

Result<std::string> load_webhook_secret(const Config& config) {
  const auto& path = config.billing.webhook_secret_file;
  auto secret =
      path.empty() ? read_or_make_secret(kWebhookSecret, config, "webhook-secret") : read_secret(kWebhookSecret, path);
  if (secret.has_error()) return secret.error();
  return std::move(secret->token);
}

}  // namespace tollgate::gateway
