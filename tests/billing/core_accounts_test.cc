#include <fstream>
#include <iterator>

#include "tests/billing/core_fixture.h"

namespace tollgate::billing {
namespace {

using CoreAccounts = CoreTest;

TEST_F(CoreAccounts, PutMakesAndThenRenames) {
  auto put = core->put_account("acme", "Acme").value();
  EXPECT_TRUE(put.created);
  EXPECT_EQ(put.account.created_at, clock.now());
  EXPECT_FALSE(put.account.in_arrears);
  EXPECT_EQ(put.account.cash, MicroYuan());
  clock.advance(std::chrono::hours(1));
  put = core->put_account("acme", "艾克米").value();
  EXPECT_FALSE(put.created);
  EXPECT_EQ(put.account.name, "艾克米");
  EXPECT_EQ(put.account.created_at, clock.now() - std::chrono::hours(1));
  EXPECT_EQ(core->account("acme")->name, "艾克米");
}

TEST_F(CoreAccounts, BadIdsAndNamesAreFaultsOfTheirField) {
  for (const auto* id : {"", "-a", "A", "a_b", "a b", "a\n", "ü"}) {
    EXPECT_EQ(field_of(core->put_account(id, "n")), "account") << id;
  }
  EXPECT_EQ(field_of(core->put_account(std::string(64, 'a'), "n")), "account");
  EXPECT_TRUE(core->put_account(std::string(63, 'a'), "n").has_value());
  for (const std::string name : {"", "a\nb", "\x7f", "\xc2\x85", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xe4\xbd",
                                 "\xf4\x90\x80\x80", "\xe0\x80\x80"}) {
    EXPECT_EQ(field_of(core->put_account("acme", name)), "name") << name;
  }
  EXPECT_EQ(field_of(core->put_account("acme", std::string("a\0b", 3))), "name");
  EXPECT_EQ(field_of(core->put_account("acme", std::string(201, 'a'))), "name");
  EXPECT_TRUE(core->put_account("acme", std::string(200, 'a')).has_value());
  EXPECT_TRUE(core->put_account("acme", "a\xf0\x9f\x98\x80").has_value());
}

TEST_F(CoreAccounts, AnUnknownAccountIsNotFoundByName) {
  EXPECT_EQ(code_of(core->account("nobody")), "account_not_found");
  EXPECT_EQ(code_of(core->keys("nobody", std::nullopt, 10)), "account_not_found");
  EXPECT_EQ(code_of(core->create_key("nobody", "", std::nullopt)), "account_not_found");
  EXPECT_EQ(code_of(core->subscriptions("nobody", std::nullopt, 10)), "account_not_found");
  EXPECT_EQ(code_of(core->transfers("nobody", std::nullopt, 10)), "account_not_found");
}

TEST_F(CoreAccounts, PagesLeadToTheEndWithoutGapOrRepeat) {
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(core->put_account("a" + std::to_string(i), "n").has_value());
  std::vector<std::string> seen;
  std::optional<std::string> after;
  int pages = 0;
  do {
    const auto page = core->accounts(after, 3).value();
    EXPECT_LE(page.items.size(), 3u);
    for (const auto& account : page.items) seen.push_back(account.id);
    after = page.next;
    ++pages;
  } while (after);
  EXPECT_EQ(seen, (std::vector<std::string>{"a0", "a1", "a2", "a3", "a4", "a5", "a6"}));
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(core->accounts(std::nullopt, 0)->items.size(), 1u);  // a limit is cut to its range
  EXPECT_EQ(core->accounts(std::nullopt, 7)->items.size(), 7u);
  EXPECT_FALSE(core->accounts(std::nullopt, 7)->next);  // a full last page knows that it is the last
  EXPECT_FALSE(core->accounts(std::nullopt, 1 << 30)->next);
}

TEST_F(CoreAccounts, AKeyIsShownOnceAndStoredNowhere) {
  ASSERT_TRUE(core->put_account("acme", "Acme").has_value());
  const auto made = core->create_key("acme", "ci", at("2022-01-01T00:00:00Z")).value();
  EXPECT_TRUE(looks_like_api_key(made.secret));
  ASSERT_EQ(sink.keys.size(), 1u);
  EXPECT_EQ(sink.keys[0].hash, sha256(made.secret));
  EXPECT_EQ(sink.keys[0].account, "acme");
  EXPECT_EQ(sink.keys[0].expires_at, at("2022-01-01T00:00:00Z"));
  close();
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(bytes.find(made.secret), std::string::npos) << entry.path();
    EXPECT_EQ(bytes.find(made.secret.substr(3)), std::string::npos) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 1u);
}

TEST_F(CoreAccounts, KeysStandByAgeAndRevokedOnesAreGone) {
  ASSERT_TRUE(core->put_account("acme", "Acme").has_value());
  ASSERT_TRUE(core->put_account("other", "Other").has_value());
  std::vector<NewKey> made;
  for (const auto* name : {"", "two", "three"}) made.push_back(core->create_key("acme", name, std::nullopt).value());
  const auto first = core->keys("acme", std::nullopt, 2).value();
  ASSERT_EQ(first.items.size(), 2u);
  EXPECT_EQ(first.items[1].id, made[1].key.id);

  EXPECT_EQ(code_of(core->revoke_key("other", made[1].key.id)), "key_not_found");
  ASSERT_TRUE(core->revoke_key("acme", made[1].key.id).has_value());
  EXPECT_EQ(sink.revoked, std::vector<Sha256>{sha256(made[1].secret)});
  EXPECT_EQ(code_of(core->revoke_key("acme", made[1].key.id)), "key_not_found");
  EXPECT_EQ(code_of(core->revoke_key("acme", "key-unknown")), "key_not_found");

  const auto rest = core->keys("acme", first.next, 2).value();  // a cursor outlives its key
  ASSERT_EQ(rest.items.size(), 1u);
  EXPECT_EQ(rest.items[0].id, made[2].key.id);
  EXPECT_EQ(core->keys("acme", std::nullopt, 10)->items.size(), 2u);
  sink = RecordingSink();
  ASSERT_TRUE(core->publish_all().has_value());
  EXPECT_EQ(sink.keys.size(), 2u);
}

TEST_F(CoreAccounts, AKeyMustExpireInTheFuture) {
  ASSERT_TRUE(core->put_account("acme", "Acme").has_value());
  EXPECT_EQ(field_of(core->create_key("acme", "", clock.now())), "expires_at");
  EXPECT_TRUE(core->create_key("acme", "", clock.now() + std::chrono::microseconds(1)).has_value());
  EXPECT_EQ(field_of(core->create_key("acme", "a\tb", std::nullopt)), "name");
}

}  // namespace
}  // namespace tollgate::billing
