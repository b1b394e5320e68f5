#include "billing/store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "tests/billing/core_fixture.h"

namespace tollgate::billing {
namespace {

class StoreTest : public CoreTest {
 protected:
  [[nodiscard]] std::string database() const { return folder.path() + "/tollgate.db"; }
};

mode_t mode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 0777;
}

TEST_F(StoreTest, FolderAndFilesAreForTheOwnerOnly) {
  const std::string made = folder.path() + "/a/b";
  const auto fresh = open_sqlite_store(made);
  ASSERT_TRUE(fresh.has_value());
  EXPECT_EQ(mode_of(made), 0700u);
  for (const auto& entry : std::filesystem::directory_iterator(made)) {
    EXPECT_EQ(mode_of(entry.path().string()), 0600u) << entry.path();
  }
}

TEST_F(StoreTest, WhatWasCommittedIsThereAfterReopening) {
  make_acme(true);
  deposit("12.5");
  const auto epoch = core->open_epoch("gw-1");
  const auto number = vision().number;
  ASSERT_TRUE(core->merge({"gw-1", epoch, {{number, hour_of(clock.now()), totals(3, 1, 16, 0)}}}).has_value());
  const auto key = core->create_key("acme", "ci", std::nullopt).value();
  reopen();
  EXPECT_EQ(cash(), yuan("12.5"));
  EXPECT_EQ(vision().number, number);
  EXPECT_EQ(vision().free_points_left, Points(10'000 - 16));
  EXPECT_EQ(core->open_epoch("gw-1"), epoch + 1);
  ASSERT_TRUE(core->publish_all().has_value());
  ASSERT_EQ(sink.keys.size(), 1u);
  EXPECT_EQ(sink.keys[0].hash, sha256(key.secret));
  ASSERT_EQ(sink.subscriptions.size(), 1u);
  EXPECT_EQ(sink.subscriptions[0].free_points_left, Points(10'000 - 16));
}

TEST_F(StoreTest, ASecondOpeningOfTheSameFolderIsRefused) {
  const auto second = open_sqlite_store(folder.path());
  ASSERT_TRUE(second.has_error());
  EXPECT_EQ(second.error().code, "data_dir_in_use");
  close();
  EXPECT_TRUE(open_sqlite_store(folder.path()).has_value());
}

TEST_F(StoreTest, ASecondProcessIsRefusedAndSoIsAForeignTool) {
  make_acme(true);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto second = open_sqlite_store(folder.path());
    bool foreign_read = true;
    try {
      SQLite::Database foreign(database(), SQLite::OPEN_READONLY);
      foreign.execAndGet("SELECT count(*) FROM accounts");
    } catch (const SQLite::Exception&) {
      foreign_read = false;
    }
    ::_exit(second.has_error() && second.error().code == "data_dir_in_use" && !foreign_read ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(StoreTest, WhatWasAnsweredSurvivesAKillOfTheProcess) {
  make_acme(true);
  close();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    open();
    if (core->deposit("acme", yuan("5"), DepositKind::cash, std::nullopt).has_value()) ::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  open();  // the lock died with the process
  EXPECT_EQ(cash(), yuan("5"));
  expect_audit_holds();
}

TEST_F(StoreTest, WritesGoThroughAWriteAheadLogThatIsSharedWithNobody) {
  make_acme(true);
  EXPECT_TRUE(std::filesystem::exists(database() + "-wal"));
  EXPECT_FALSE(std::filesystem::exists(database() + "-shm"));
}

TEST_F(StoreTest, ANewFileHasPagesOf8KiBAndAnOlderOneKeepsItsOwn) {
  const auto page_size = [&] {
    close();
    return SQLite::Database(database(), SQLite::OPEN_READWRITE).execAndGet("PRAGMA page_size").getInt();
  };
  EXPECT_EQ(page_size(), 8192);
  {
    SQLite::Database older(database(), SQLite::OPEN_READWRITE);
    older.exec("PRAGMA journal_mode = DELETE; PRAGMA page_size = 4096; VACUUM");
  }
  reopen();
  make_acme(true);
  EXPECT_EQ(page_size(), 4096);
}

TEST_F(StoreTest, ANewerSchemaIsRefusedAndLeftAlone) {
  close();
  {
    SQLite::Database database_file(database(), SQLite::OPEN_READWRITE);
    database_file.exec("INSERT INTO schema_version (version) VALUES (999)");
  }
  const auto opened = open_sqlite_store(folder.path());
  ASSERT_TRUE(opened.has_error());
  EXPECT_EQ(opened.error().code, "schema_too_new");
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsAFault) {
  close();
  std::filesystem::remove(database() + "-wal");
  std::ofstream(database(), std::ios::trunc) << std::string(5000, 'x');
  const auto opened = open_sqlite_store(folder.path());
  ASSERT_TRUE(opened.has_error());
  EXPECT_EQ(opened.error().code, "store_failed");
}

TEST_F(StoreTest, AFolderThatCannotBeMadeIsAFault) {
  const std::string file = folder.path() + "/file";
  std::ofstream(file) << "x";
  for (const auto& path : {file, file + "/below"}) {
    const auto opened = open_sqlite_store(path);
    ASSERT_TRUE(opened.has_error());
    EXPECT_EQ(opened.error().code, "data_dir_unusable");
  }
}

TEST_F(StoreTest, TheDatabaseItselfRefusesToChangeTransfers) {
  make_acme(true);
  deposit("1");
  close();
  SQLite::Database ledger(database(), SQLite::OPEN_READWRITE);
  EXPECT_EQ(ledger.execAndGet("SELECT count(*) FROM transfers").getInt(), 1);
  EXPECT_THROW(ledger.exec("UPDATE transfers SET amount = 2"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("DELETE FROM transfers"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("INSERT OR REPLACE INTO transfers SELECT * FROM transfers"), SQLite::Exception);
  EXPECT_THROW(ledger.exec("INSERT INTO transfers (at, account, debit, credit, amount, reason, reference) "
                           "VALUES (0, 'acme', 'a', 'b', 0, 'x', 'y')"),
               SQLite::Exception);
  EXPECT_EQ(ledger.execAndGet("SELECT sum(amount) FROM transfers").getInt64(), 1'000'000);
}

TEST_F(StoreTest, AFaultTakesBackItsOwnPartOfATransactionOnly) {
  const auto row = [&](const char* id) { return AccountRow{id, "n", clock.now()}; };
  const auto outcome = store->transaction([&]() -> Result<void> {
    store->insert_account(row("kept"));
    const auto part = store->transaction([&]() -> Result<void> {
      store->insert_account(row("gone"));
      return Fault{};
    });
    EXPECT_TRUE(part.has_error());
    return {};
  });
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(core->account("kept").has_value());
  EXPECT_EQ(code_of(core->account("gone")), "account_not_found");
}

TEST_F(StoreTest, AFailureOfTheDatabaseInAPartEndsTheWholeTransaction) {
  const AccountRow row{"twice", "n", clock.now()};
  bool later_part_ran = false;
  const auto outcome = store->transaction([&]() -> Result<void> {
    store->insert_account(row);
    const auto failed = store->transaction([&]() -> Result<void> {
      store->insert_account(row);  // the primary key refuses
      return {};
    });
    EXPECT_EQ(code_of(failed), "store_failed");
    const auto later = store->transaction([&]() -> Result<void> {
      later_part_ran = true;
      return {};
    });
    EXPECT_EQ(code_of(later), "store_failed");
    return {};  // a body that overlooks it does not get its first half committed
  });
  EXPECT_EQ(code_of(outcome), "store_failed");
  EXPECT_FALSE(later_part_ran);
  EXPECT_EQ(code_of(core->account("twice")), "account_not_found");
  EXPECT_TRUE(core->put_account("twice", "works again").has_value());
}

TEST_F(StoreTest, AnExceptionOfTheBodyLeavesNothingOpen) {
  EXPECT_THROW((void)store->transaction([&]() -> Result<void> {
    store->insert_account({"gone", "n", clock.now()});
    throw std::runtime_error("body");
  }),
               std::runtime_error);
  EXPECT_EQ(code_of(core->account("gone")), "account_not_found");
  EXPECT_TRUE(core->put_account("acme", "Acme").has_value());
}

TEST_F(StoreTest, AFullDiskIsAFaultNothingIsHalfDoneAndItRecovers) {
  make_acme(true);
  deposit("5");
  const auto events = sink.count();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit full = before;
  full.rlim_cur = 1;  // no file can grow, as on a full disk
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  const auto refused = core->deposit("acme", yuan("7"), DepositKind::cash, std::nullopt);
  const auto no_epoch = core->open_epoch("gw-1");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(code_of(refused), "store_failed");
  EXPECT_EQ(no_epoch, 0u);
  EXPECT_EQ(sink.count(), events);
  EXPECT_EQ(cash(), yuan("5"));
  deposit("7");
  reopen();
  EXPECT_EQ(cash(), yuan("12"));
  expect_audit_holds();
}

}  // namespace
}  // namespace tollgate::billing
