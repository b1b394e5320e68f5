#include "billing/account_tokens.h"

#include <utility>

namespace tollgate::billing {

void AccountTokens::add(const Sha256& hash, std::string account, std::optional<WallTime> expires_at) {
  const std::lock_guard lock(mutex_);
  tokens_[hash] = {std::move(account), expires_at};
}

void AccountTokens::remove(const Sha256& hash) {
  const std::lock_guard lock(mutex_);
  tokens_.erase(hash);
}

std::optional<std::string> AccountTokens::account_of(const Sha256& hash, WallTime now) const {
  const std::lock_guard lock(mutex_);
  const auto found = tokens_.find(hash);
  if (found == tokens_.end()) return std::nullopt;
  const Token& token = found->second;
  if (token.expires_at && *token.expires_at <= now) return std::nullopt;
  return token.account;
}

}  // namespace tollgate::billing
