// Which account a read-only token stands for: the tokens that are not revoked, by their hashes, for any thread to ask.
// It keeps nothing on the disk and decides nothing of what a token may do.
#pragma once

#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/calendar.h"
#include "base/ids.h"

namespace tollgate::billing {

class AccountTokens {
 public:
  void add(const Sha256& hash, std::string account, std::optional<WallTime> expires_at);
  void remove(const Sha256& hash);
  // Whose token has that hash; nullopt: nobody's, or it has expired.
  [[nodiscard]] std::optional<std::string> account_of(const Sha256& hash, WallTime now) const;

 private:
  struct Token {
    std::string account;
    std::optional<WallTime> expires_at;
  };
  struct ByFirstBytes {  // of a hash: as good as random
    std::size_t operator()(const Sha256& hash) const noexcept {
      std::size_t first = 0;
      std::memcpy(&first, hash.data(), sizeof first);
      return first;
    }
  };
  mutable std::mutex mutex_;  // of the billing thread, which writes, and the admin API's; the data path never asks
  std::unordered_map<Sha256, Token, ByFirstBytes> tokens_;
};

}  // namespace tollgate::billing
