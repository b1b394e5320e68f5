// The audit log of changes: with its change or not at all, only growing, and every damage to it found.
#include <SQLiteCpp/SQLiteCpp.h>

#include "tests/billing/core_fixture.h"

namespace tollgate::billing {
namespace {

const AuditChange kChange{"admin", "192.0.2.7", "adm-1", "PUT", "/v1/accounts/acme", R"({"name":"Acme"})"};

class AuditLog : public CoreTest {
 protected:
  // Puts account `id`, recorded.
  Result<std::optional<AuditHead>> put(const std::string& id) {
    return core->record_change(kChange, [&] {
      return AuditOutcome{core->put_account(id, "a name").has_value() ? 200 : 400, {}};
    });
  }
  void put_some(int count) {
    for (int i = 1; i <= count; ++i) ASSERT_TRUE(put("a" + std::to_string(i)).has_value());
  }
  std::vector<AuditRow> rows() { return core->audit_log(std::nullopt, kPageItemsMax).value().items; }
  AuditVerification verified(std::optional<AuditHead> kept = {}) {
    AuditVerifier verifier(std::move(kept));
    while (core->verify_audit_log_piece(verifier).value()) {
    }
    return verifier.end();
  }
  // What somebody does who has the file, and knows what the triggers are for.
  void tamper(const std::string& sql) {
    close();
    {
      SQLite::Database file(folder.path() + "/tollgate.db", SQLite::OPEN_READWRITE);
      for (const char* trigger : {"update", "delete", "gap"}) {
        file.exec(std::string("DROP TRIGGER audit_log_refuse_") + trigger);
      }
      file.exec(sql);
    }
    open();
  }
  void expect_break(std::int64_t sequence, std::optional<AuditHead> kept = {}) {
    const auto found = verified(std::move(kept));
    ASSERT_TRUE(found.first_break.has_value());
    EXPECT_EQ(found.first_break->sequence, sequence) << found.first_break->reason;
  }
};

TEST(AuditBytes, AreExactlyTheseLinesAndThisHash) {
  AuditRow row{7, parse_time("2021-08-25T10:30:00.000007+08:00").value(), kChange, {201, "key-1"}, "", ""};
  row.previous_hash = std::string(64, '0');
  EXPECT_EQ(audit_bytes(row),
            "tollgate-audit-log-1\n"
            "0000000000000000000000000000000000000000000000000000000000000000\n"
            "7\n2021-08-25T10:30:00.000007+08:00\nadmin\n192.0.2.7\nadm-1\nPUT\n/v1/accounts/acme\n201\nkey-1\n"
            R"({"name":"Acme"})");
  EXPECT_EQ(audit_hash(row),
            "ccc72a055db7f9c693cd8f6ff4c57b07c51223d0e2ecca997574adf3fde862fe");  // sha256sum of these bytes
}

TEST(AuditHeads, AreReadAsTheyAreWrittenAndNothingElseIs) {
  const AuditHead head{12, std::string(60, 'a') + "0123"};
  EXPECT_EQ(parse_audit_head(format_audit_head(head)), head);
  const std::string hash(64, 'a');
  for (const auto& wrong : {std::string(), hash, ":" + hash, "1:" + hash + "a", "1:" + std::string(64, 'A'),
                            "-1:" + hash, "1x:" + hash, "1 :" + hash, "99999999999999999999:" + hash}) {
    EXPECT_FALSE(parse_audit_head(wrong).has_value()) << wrong;
  }
}

TEST_F(AuditLog, ARowTellsOfItsChangeAndFollowsTheOneBeforeIt) {
  const auto first = put("one").value();
  const auto second = put("two").value();
  const auto found = rows();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].sequence, 1);
  EXPECT_EQ(found[0].at, clock.now());
  EXPECT_EQ(found[0].change.address, "192.0.2.7");
  EXPECT_EQ(found[0].change.body, kChange.body);
  EXPECT_EQ(found[0].outcome.status, 200);
  EXPECT_EQ(found[0].previous_hash, empty_audit_log().hash);
  EXPECT_EQ(found[1].previous_hash, found[0].hash);
  EXPECT_EQ(*first, (AuditHead{1, found[0].hash}));
  EXPECT_EQ(*second, (AuditHead{2, found[1].hash}));
  EXPECT_FALSE(verified().first_break.has_value());
  EXPECT_EQ(verified().head, *second);
}

TEST_F(AuditLog, ARefusalLeavesNoRowAndNothingThatItWrote) {
  const auto refused = core->record_change(kChange, [&] {
    EXPECT_TRUE(core->put_account("acme", "Acme").has_value());
    return AuditOutcome{409, {}};
  });
  ASSERT_TRUE(refused.has_value());
  EXPECT_FALSE(refused->has_value());
  EXPECT_TRUE(rows().empty());
  EXPECT_EQ(code_of(core->account("acme")), "account_not_found");
}

TEST_F(AuditLog, WhereverTheStoreBreaksThereAreBothOrNeither) {
  int broken = 0;
  for (bool hit = true; hit; ++broken) {
    ASSERT_LT(broken, 1000);
    int statements = 0;
    hit = false;
    store->set_statement_hook([&](std::string_view) {
      hit = hit || statements == broken;
      return statements++ == broken;
    });
    const std::string id = "a" + std::to_string(broken);
    const auto done = put(id);
    store->set_statement_hook({});
    const bool there = core->account(id).has_value();
    EXPECT_EQ(there, !hit);
    EXPECT_EQ(rows().size(), there ? 1u : 0u);
    EXPECT_EQ(done.has_value() && done->has_value(), there);
  }
  EXPECT_GT(broken, 5);  // begin, the look-up, the account, the head, the row, the commit
}

TEST_F(AuditLog, AnIdempotentChangeIsRecordedOnce) {
  make_acme(false);
  const auto deposit_once = [&] {
    return core->once("key", "print", [&] {
      const auto kept = core->record_change(kChange, [&] {
        return AuditOutcome{core->deposit("acme", yuan("5"), DepositKind::cash, {}).has_value() ? 201 : 400, "d"};
      });
      return StoredAnswer{kept.has_value() && kept->has_value() ? 201 : 503, ""};
    });
  };
  EXPECT_EQ(deposit_once()->status, 201);
  EXPECT_EQ(deposit_once()->status, 201);
  EXPECT_EQ(rows().size(), 1u);
  EXPECT_EQ(cash(), yuan("5"));
}

TEST_F(AuditLog, GoesOnAfterARestartAndAfterAnUpgrade) {
  put_some(1);
  reopen();
  put_some(2);
  EXPECT_EQ(rows().size(), 3u);
  EXPECT_FALSE(verified().first_break.has_value());
  const auto page = core->audit_log(std::nullopt, 2).value();
  EXPECT_EQ(page.items.size(), 2u);
  EXPECT_EQ(core->audit_log(page.next, 2)->items.front().sequence, 3);
  EXPECT_EQ(field_of(core->audit_log("x", 2)), "after");
}

TEST_F(AuditLog, ALongOneIsVerifiedInPieces) {
  put_some(2 * kPageItemsMax);
  AuditVerifier verifier({});
  EXPECT_TRUE(core->verify_audit_log_piece(verifier).value());
  EXPECT_EQ(verifier.position(), kPageItemsMax);
  put_some(1);  // it may grow meanwhile
  EXPECT_EQ(verified().head.sequence, 2 * kPageItemsMax + 1);
  tamper("UPDATE audit_log SET status = 201 WHERE sequence = " + std::to_string(kPageItemsMax + 1));
  expect_break(kPageItemsMax + 1);
}

TEST_F(AuditLog, TheDatabaseRefusesToChangeOrRemoveARow) {
  put_some(3);
  close();
  SQLite::Database file(folder.path() + "/tollgate.db", SQLite::OPEN_READWRITE);
  const std::string columns = "at, role, address, request_id, method, path, body, status, made, previous_hash, hash";
  for (const std::string& sql :
       {std::string("UPDATE audit_log SET path = '/'"), std::string("DELETE FROM audit_log WHERE sequence = 3"),
        "INSERT OR REPLACE INTO audit_log SELECT sequence, " + columns + " FROM audit_log WHERE sequence = 2",
        "INSERT INTO audit_log SELECT 5, " + columns + " FROM audit_log WHERE sequence = 3",     // a gap
        "INSERT INTO audit_log SELECT 4, " + columns + " FROM audit_log WHERE sequence = 3"}) {  // another's place
    EXPECT_THROW(file.exec(sql), SQLite::Exception) << sql;
  }
}

TEST_F(AuditLog, AChangedRowIsFoundWhateverIsChanged) {
  constexpr auto kOver = std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing;
  put_some(3);
  for (const char* change : {"at = at + 1", "role = 'nobody'", "address = '198.51.100.1'", "request_id = ''",
                             "method = 'POST'", "path = path || '2'", "body = '{}'", "status = 204", "made = 'x'"}) {
    SCOPED_TRACE(change);
    close();
    const TempFolder copy;
    std::filesystem::copy(folder.path(), copy.path(), kOver);
    open();
    tamper(std::string("UPDATE audit_log SET ") + change + " WHERE sequence = 2");
    expect_break(2);
    close();
    std::filesystem::copy(copy.path(), folder.path(), kOver);
    open();
    ASSERT_FALSE(verified().first_break.has_value());
  }
}

TEST_F(AuditLog, ARowThatIsMissingIsNamed) {
  put_some(4);
  tamper("DELETE FROM audit_log WHERE sequence = 2");
  expect_break(2);
}

TEST_F(AuditLog, AMissingRowIsNamedWhenTheOthersCloseTheGap) {
  put_some(4);
  tamper("DELETE FROM audit_log WHERE sequence = 2; UPDATE audit_log SET sequence = sequence - 1 WHERE sequence > 2");
  expect_break(2);
}

TEST_F(AuditLog, ACutTailIsFoundByAHeadThatWasKeptAndOnlyByThat) {
  put_some(4);
  const AuditHead kept = verified().head;
  tamper("DELETE FROM audit_log WHERE sequence > 2");
  EXPECT_FALSE(verified().first_break.has_value());
  expect_break(3, kept);
}

TEST_F(AuditLog, AChainThatWasMadeAnewIsFoundByAHeadThatWasKept) {
  put_some(4);
  const AuditHead kept{2, rows()[1].hash};
  EXPECT_FALSE(verified(kept).first_break.has_value()) << "an older head is led through too";
  std::string sql = "DELETE FROM audit_log;";
  AuditHead last = empty_audit_log();
  for (auto row : rows()) {
    row.change.path = "/v1/forged";
    row.previous_hash = last.hash;
    row.hash = audit_hash(row);
    last = {row.sequence, row.hash};
    sql +=
        "INSERT INTO audit_log (sequence, at, role, address, request_id, method, path, body, status, made, "
        "previous_hash, hash) VALUES (" +
        std::to_string(row.sequence) + ", " + std::to_string(row.at.time_since_epoch().count()) +
        ", 'admin', '192.0.2.7', 'adm-1', 'PUT', '/v1/forged', '{\"name\":\"Acme\"}', 200, '', '" + row.previous_hash +
        "', '" + row.hash + "');";
  }
  tamper(sql);
  EXPECT_FALSE(verified().first_break.has_value());
  expect_break(2, kept);
}

TEST_F(AuditLog, AnEmptyOneHoldsAndLeadsThroughNoOthersHead) {
  EXPECT_EQ(verified(empty_audit_log()).head, empty_audit_log());
  EXPECT_FALSE(verified(empty_audit_log()).first_break.has_value());
  expect_break(1, AuditHead{1, std::string(64, 'a')});
  expect_break(0, AuditHead{0, std::string(64, 'a')});
}

}  // namespace
}  // namespace tollgate::billing
