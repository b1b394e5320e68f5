#include "base/ids.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <thread>

namespace tollgate {
namespace {

std::string hex(const Sha256& hash) { return to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()}); }

TEST(Ids, AreLowerCaseDigitsAndInnerHyphensUpTo63) {
  for (const std::string& id :
       {std::string("a"), std::string("0"), std::string("acme-1"), std::string("a-"), std::string(63, 'x')}) {
    EXPECT_TRUE(is_valid_id(id)) << id;
  }
  for (const std::string& id :
       {std::string(), std::string("-a"), std::string("A"), std::string("a_b"), std::string("a b"), std::string("a/b"),
        std::string("a\n"), std::string("a\0", 2), std::string("\xc3\xa9"), std::string(64, 'x')}) {
    EXPECT_FALSE(is_valid_id(id)) << id;
  }
}

TEST(Ids, AtRandomAreValidBeginWithTheirPrefixAndDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = random_id("key");
    EXPECT_TRUE(is_valid_id(id)) << id;
    EXPECT_TRUE(id.starts_with("key-")) << id;
    EXPECT_TRUE(seen.insert(id).second) << id;
  }
  EXPECT_TRUE(is_valid_id(random_id(std::string(40, 'p'))));
}

TEST(Secrets, AreHexOfAsManyBytesAndDiffer) {
  const std::string secret = random_hex(32);
  EXPECT_EQ(secret.size(), 64U);
  EXPECT_EQ(secret.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(secret, random_hex(32));
  EXPECT_EQ(random_hex(0), "");
  EXPECT_EQ(to_hex(std::string_view("\x00\x0f\xa5\xff", 4)), "000fa5ff");
}

// FIPS 180-2 appendix B: one block, and two blocks; and the empty message.
TEST(Sha256Of, KnownMessagesIsKnown) {
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256Of, OneThreadDoesNotDisturbAnother) {
  const Sha256 expected = sha256("abc");
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        (void)sha256(std::to_string(t * 1000 + i));
        if (sha256("abc") != expected) wrong.fetch_add(1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(ConstantTimeEquality, SeesEveryByteOfAHash) {
  const Sha256 hash = sha256("a key");
  EXPECT_TRUE(equal_in_constant_time(hash, sha256("a key")));
  for (std::size_t i = 0; i < hash.size(); ++i) {
    Sha256 other = hash;
    other[i] ^= 0x80;
    EXPECT_FALSE(equal_in_constant_time(hash, other)) << i;
  }
}

TEST(ConstantTimeEquality, IsEqualityOfBytes) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("token", "token"));
  EXPECT_FALSE(equal_in_constant_time("token", "tokeN"));
  EXPECT_FALSE(equal_in_constant_time("Token", "token"));
  EXPECT_FALSE(equal_in_constant_time("token", "token2"));
  EXPECT_FALSE(equal_in_constant_time("token", ""));
  EXPECT_TRUE(equal_in_constant_time(std::string_view("a\0b", 3), std::string_view("a\0b", 3)));
  EXPECT_FALSE(equal_in_constant_time(std::string_view("a\0b", 3), std::string_view("a\0c", 3)));
}

TEST(ApiKeys, HaveTheirFormAndDiffer) {
  const std::string key = make_api_key();
  EXPECT_EQ(key.size(), 39U);
  EXPECT_TRUE(key.starts_with("tg_"));
  EXPECT_TRUE(looks_like_api_key(key));
  EXPECT_NE(key, make_api_key());
  const std::string token = make_account_token();
  EXPECT_EQ(token.size(), 40U);
  EXPECT_TRUE(token.starts_with("tgr_"));
  EXPECT_FALSE(looks_like_api_key(token));
  EXPECT_NE(token, make_account_token());
}

TEST(ApiKeys, OfAnotherFormAreSeenAsSuch) {
  const std::string key = make_api_key();
  EXPECT_FALSE(looks_like_api_key(""));
  EXPECT_FALSE(looks_like_api_key("tg_"));
  EXPECT_FALSE(looks_like_api_key(key.substr(1)));
  EXPECT_FALSE(looks_like_api_key(key + "0"));
  EXPECT_FALSE(looks_like_api_key(key.substr(0, key.size() - 1)));
  EXPECT_FALSE(looks_like_api_key("TG_" + key.substr(3)));
}

// A changed character changes the checksum in all but about one case in a million (20 bits).
TEST(ApiKeys, WithOneCharacterChangedAreCaught) {
  const std::string key = make_api_key();
  int passed = 0;
  for (std::size_t at = 0; at < key.size(); ++at) {
    for (char c : std::string_view("0123456789abcdefghjkmnpqrstvwxyz")) {
      std::string changed = key;
      changed[at] = c;
      if (changed != key && looks_like_api_key(changed)) ++passed;
    }
  }
  EXPECT_LE(passed, 1);
}

}  // namespace
}  // namespace tollgate
