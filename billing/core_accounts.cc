// Accounts and their keys.
#include <fmt/format.h>

#include "billing/core.h"
#include "billing/page.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {

// Bytes of the UTF-8 sequence that begins with `lead`; 0 if none does.
std::size_t sequence_length(std::uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

// Well-formed UTF-8 (RFC 3629) without the control characters U+0000 to U+001F and U+007F to U+009F.
bool is_plain_text(std::string_view text) {
  while (!text.empty()) {
    const auto lead = static_cast<std::uint8_t>(text.front());
    const std::size_t length = sequence_length(lead);
    if (length == 0 || text.size() < length) return false;
    std::uint32_t code = length == 1 ? lead : lead & (0x7Fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
      const auto next = static_cast<std::uint8_t>(text[i]);
      if ((next & 0xC0) != 0x80) return false;
      code = (code << 6) | (next & 0x3F);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
    if (overlong || surrogate || control || code > 0x10FFFF) return false;
    text.remove_prefix(length);
  }
  return true;
}

Result<void> check_name(std::string_view name, std::size_t bytes_min) {
  if (name.size() < bytes_min || name.size() > kNameBytesMax || !is_plain_text(name)) {
    return invalid(
        "name", fmt::format("a name is {} to {} bytes of UTF-8 without control characters", bytes_min, kNameBytesMax));
  }
  return {};
}

constexpr std::size_t kShownTokenChars = 8;  // "tgr_" and 20 of 160 random bits

AccountToken shown_token(const AccountTokenRow& row) {
  return {row.id, row.name, row.prefix, row.created_at, row.expires_at};
}

Key shown_key(const KeyRow& row) { return {row.id, row.name, row.created_at, row.expires_at}; }
}  // namespace

bool Core::in_arrears(std::string_view account) { return guarded_.contains(account) || in_debt(account); }

bool Core::in_debt(std::string_view account) {
  // A negative balance and nothing else: no stored state can disagree with the ledger.
  return store_.balance(fmt::format("cash:{}", account)) < MicroYuan();
}

Account Core::shown(const AccountRow& row) {
  Account account;
  account.id = row.id;
  account.name = row.name;
  account.cash = store_.balance("cash:" + row.id);
  account.in_arrears = account.cash < MicroYuan() || guarded_.contains(row.id);
  account.vouchers = store_.unexpired_vouchers(row.id, now());
  account.created_at = row.created_at;
  return account;
}

Result<Core::PutAccount> Core::put_account(std::string_view id, std::string_view name) {
  return in_transaction([&]() -> Result<PutAccount> {
    if (!is_valid_id(id)) return invalid("account", "an account's id is 1 to 63 of a-z, 0-9 and '-'");
    if (auto checked = check_name(name, 1); checked.has_error()) return checked.error();
    auto row = store_.find_account(id);
    const bool created = !row;
    if (created) {
      row = AccountRow{std::string(id), std::string(name), now()};
      store_.insert_account(*row);
    } else if (row->name != name) {
      row->name = name;
      store_.rename_account(id, name);
    }
    return PutAccount{shown(*row), created};
  });
}

Result<Account> Core::account(std::string_view id) {
  return in_transaction([&]() -> Result<Account> {
    auto row = need_account(id);
    if (row.has_error()) return row.error();
    return shown(*row);
  });
}

Result<Page<Account>> Core::accounts(std::optional<std::string> after, int limit) {
  return in_transaction([&]() -> Result<Page<Account>> {
    const auto rows = store_.accounts(after.value_or(""), page_limit(limit) + 1);
    return make_page<Account>(
        rows, limit, [&](const AccountRow& row) { return shown(row); }, [](const AccountRow& row) { return row.id; });
  });
}

Core::AccountCounts Core::account_counts() {
  AccountCounts counts;
  const Result<void> outcome = run([&]() -> Result<void> {
    counts.arrears = store_.count_accounts_in_debt();
    for (const auto& account : guarded_) counts.arrears += in_debt(account) ? 0 : 1;
    counts.active = store_.count_accounts() - counts.arrears;
    return {};
  });
  return outcome.has_value() ? counts : AccountCounts{};
}

Result<bool> Core::has_history() {
  return in_transaction([&]() -> Result<bool> { return store_.has_history(); });
}

Result<MicroYuan> Core::ledger_imbalance() {
  return in_transaction([&]() -> Result<MicroYuan> { return store_.imbalance(); });
}

Result<NewKey> Core::create_key(std::string_view account, std::string_view name, std::optional<WallTime> expires_at) {
  return in_transaction([&]() -> Result<NewKey> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    if (auto checked = check_name(name, 0); checked.has_error()) return checked.error();
    const WallTime now = this->now();
    if (expires_at && *expires_at <= now) return invalid("expires_at", "a key must expire in the future");
    std::string secret = make_api_key();
    const KeyRow row{random_id("key"), std::string(account), std::string(name), sha256(secret), now, expires_at};
    store_.insert_key(row);
    publish([key = KeyRecord{row.hash, row.account, row.expires_at}](EntitlementSink& sink) { sink.key_added(key); });
    return NewKey{shown_key(row), std::move(secret)};
  });
}

Result<Page<Key>> Core::keys(std::string_view account, std::optional<std::string> after, int limit) {
  return in_transaction([&]() -> Result<Page<Key>> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    const auto rows = store_.keys(account, after.value_or(""), page_limit(limit) + 1);
    return make_page<Key>(rows, limit, shown_key, [](const KeyRow& row) { return row.id; });
  });
}

Result<void> Core::revoke_key(std::string_view account, std::string_view key_id) {
  return run([&]() -> Result<void> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    const auto hash = store_.revoke_key(account, key_id, now());
    if (!hash) {
      return Fault{
          FaultKind::not_found, "key_not_found", fmt::format("account '{}' has no key '{}'", account, key_id), {}};
    }
    publish([revoked = *hash](EntitlementSink& sink) { sink.key_revoked(revoked); });
    return {};
  });
}

Result<NewAccountToken> Core::create_account_token(std::string_view account, std::string_view name,
                                                   std::optional<WallTime> expires_at) {
  return in_transaction([&]() -> Result<NewAccountToken> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    if (auto checked = check_name(name, 0); checked.has_error()) return checked.error();
    const WallTime now = this->now();
    if (expires_at && *expires_at <= now) return invalid("expires_at", "a token must expire in the future");
    if (store_.account_tokens(account, "", kAccountTokensMax).size() == kAccountTokensMax) {
      return Fault{FaultKind::conflict,
                   "too_many_tokens",
                   fmt::format("account '{}' has {} tokens: revoke one first", account, kAccountTokensMax),
                   {}};
    }
    std::string secret = make_account_token();
    const AccountTokenRow row{random_id("token"), std::string(account),
                              std::string(name),  secret.substr(0, kShownTokenChars),
                              sha256(secret),     now,
                              expires_at};
    store_.insert_account_token(row);
    publish([this, row](EntitlementSink&) { token_holders_.add(row.hash, row.account, row.expires_at); });
    return NewAccountToken{shown_token(row), std::move(secret)};
  });
}

Result<Page<AccountToken>> Core::account_tokens(std::string_view account, std::optional<std::string> after, int limit) {
  return in_transaction([&]() -> Result<Page<AccountToken>> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    const auto rows = store_.account_tokens(account, after.value_or(""), page_limit(limit) + 1);
    return make_page<AccountToken>(rows, limit, shown_token, [](const AccountTokenRow& row) { return row.id; });
  });
}

Result<void> Core::revoke_account_token(std::string_view account, std::string_view id) {
  return run([&]() -> Result<void> {
    if (auto found = need_account(account); found.has_error()) return found.error();
    const auto hash = store_.revoke_account_token(account, id, now());
    if (!hash) {
      return Fault{
          FaultKind::not_found, "token_not_found", fmt::format("account '{}' has no token '{}'", account, id), {}};
    }
    publish([this, revoked = *hash](EntitlementSink&) { token_holders_.remove(revoked); });
    return {};
  });
}

}  // namespace tollgate::billing
