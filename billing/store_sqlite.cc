// Opening, locking and the transactions of the SQLite store; its rows are in the other store_sqlite_*.cc.
#include "billing/store_sqlite.h"

#include <SQLiteCpp/Exception.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/check.h"
#include "base/fail_point.h"
#include "billing/store_sqlite_migrations.h"

namespace tollgate::billing {
namespace {

Fault store_failed(const SQLite::Exception& error) {
  return {FaultKind::unavailable, "store_failed", fmt::format("the database failed: {}", error.what()), {}};
}

Fault unusable(std::string_view path, int error) {
  return {FaultKind::unavailable, "data_dir_unusable", fmt::format("{}: {}", path, std::strerror(error)), {}};
}

Result<void> make_folder(const std::string& data_dir) {
  std::error_code error;
  const auto parent = std::filesystem::path(data_dir).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return unusable(parent.string(), error.value());
  if (::mkdir(data_dir.c_str(), 0700) != 0 && errno != EEXIST) return unusable(data_dir, errno);
  return {};
}

// A second process on the same folder is refused here, with a name, before it touches the database. flock() and not a
// lock file's mere existence: the kernel gives it up when the process dies, however it dies.
Result<FolderLock> lock_folder(const std::string& data_dir) {
  const std::string path = data_dir + "/tollgate.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return unusable(path, errno);
  FolderLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return unusable(path, errno);
  return Fault{FaultKind::unavailable,
               "data_dir_in_use",
               fmt::format("{} is in use by another process (it holds {})", data_dir, path),
               {}};
}

// SQLite would make the file with the process's umask; its -wal file takes the mode of the file itself.
Result<void> make_private_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return unusable(path, errno);
  const bool kept_private = ::fchmod(fd, 0600) == 0;
  const int error = errno;
  ::close(fd);
  if (!kept_private) return unusable(path, error);
  return {};
}

// EXCLUSIVE stands before WAL so that no shared memory is ever used: a foreign tool that opens the file, and might
// checkpoint it beside us (SQLite 3.40 can corrupt a WAL that way), is refused by SQLite itself.
//
// Pages of 8 KiB, of a new file; one that was made with 4 KiB keeps them. A settlement of very many takes 0.92 to 0.95
// of the time, a commit of a few scattered rows 1.1 of it (docs/performance.md).
constexpr const char* kPragmas =
    "PRAGMA page_size = 8192;"
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
    "PRAGMA recursive_triggers = ON; PRAGMA trusted_schema = OFF;"
    // A settlement goes through the tables of an hour once, in order; what it comes back to are the inner pages and
    // the accounts.
    "PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY;";

// What SQLite does by itself, with a name at which a test can end the process. A checkpoint that fails takes back
// nothing that was committed: the log grows on, and the next commit tries again.
constexpr int kCheckpointPages = 1000;

int checkpoint_long_log(void*, sqlite3* database, const char* name, int pages) {
  if (pages < kCheckpointPages) return SQLITE_OK;
  TOLLGATE_FAIL_POINT("store.checkpoint");
  (void)sqlite3_wal_checkpoint_v2(database, name, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  return SQLITE_OK;
}
}  // namespace

FolderLock::~FolderLock() {
  if (fd_ >= 0) ::close(fd_);
}

std::uint32_t FolderLock::noted() const noexcept {
  std::uint32_t number = 0;
  return ::pread(fd_, &number, sizeof number, 0) == sizeof number ? number : 0;
}

bool FolderLock::note(std::uint32_t number) const noexcept {
  return ::pwrite(fd_, &number, sizeof number, 0) == sizeof number && ::fsync(fd_) == 0;
}

void Query::bind_one(const std::optional<WallTime>& value) {
  if (value) {
    bind_one(*value);
  } else {
    statement_.bind(++parameter_);
  }
}

std::optional<WallTime> Query::optional_time() {
  if (!statement_.isColumnNull(column_)) return time();
  ++column_;
  return std::nullopt;
}

void Query::bind_one(const std::optional<std::int64_t>& value) {
  if (value) {
    bind_one(*value);
  } else {
    statement_.bind(++parameter_);
  }
}

std::optional<std::int64_t> Query::optional_integer() {
  if (!statement_.isColumnNull(column_)) return integer();
  ++column_;
  return std::nullopt;
}

Sha256 Query::hash() {
  const auto column = statement_.getColumn(column_++);
  Sha256 hash{};
  TOLLGATE_CHECK(column.getBytes() == static_cast<int>(hash.size()));  // the schema checks the length
  std::memcpy(hash.data(), column.getBlob(), hash.size());
  return hash;
}

void SqliteStore::ask_hook(std::string_view sql) {
  if (hook_ && hook_(sql)) throw SQLite::Exception("refused by the test's hook", SQLITE_IOERR);
}

SqliteStore::SqliteStore(FolderLock lock, SQLite::Database database)
    : lock_(std::move(lock)), database_(std::move(database)) {
  offer(database_.getHandle(), "waiting_transfers", waiting_.transfers);
  offer(database_.getHandle(), "waiting_settlements", waiting_.settlements);
  offer(database_.getHandle(), "waiting_parts", waiting_.parts);
}

SQLite::Statement& SqliteStore::prepared(const char* sql) {
  if (!waiting_.empty()) write_waiting();
  return prepared_apart(sql);
}

SQLite::Statement& SqliteStore::prepared_apart(const char* sql) {
  TOLLGATE_CHECK(depth_ > 0);
  ask_hook(sql);
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second;
  return statements_.try_emplace(sql, database_, sql).first->second;
}

void SqliteStore::run(const char* sql) { Query(prepared(sql)).exec(); }

// What was moved before a part is written before it: it is no business of the part, which may be taken back.
void SqliteStore::begin(bool outermost, Durability durability) {
  if (outermost && durability != durability_) {
    run(durability == Durability::at_once ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    durability_ = durability;
  }
  run(outermost ? "BEGIN" : "SAVEPOINT part");
}

void SqliteStore::commit(bool outermost) { run(outermost ? "COMMIT" : "RELEASE part"); }

void SqliteStore::roll_back(bool outermost) noexcept {
  waiting_.clear();
  models_.clear();
  // After some errors (a full disk) SQLite has already rolled back by itself.
  if (sqlite3_get_autocommit(database_.getHandle()) != 0) return;
  database_.tryExec(outermost ? "ROLLBACK" : "ROLLBACK TO part; RELEASE part");
}

// After a sync that failed the system takes what it could not write for written, and the log may have a hole behind
// which the next commits would stand. Copied into the database they do not depend on it.
void SqliteStore::leave_suspect_log() {
  if (!log_suspect_) return;
  const int code =
      sqlite3_wal_checkpoint_v2(database_.getHandle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (code != SQLITE_OK) throw SQLite::Exception("the write-ahead log cannot be copied into the database", code);
  log_suspect_ = false;
}

Result<void> SqliteStore::transaction(const std::function<Result<void>()>& body, Durability durability) {
  if (failed_) return *failed_;
  const bool outermost = depth_ == 0;
  Result<void> outcome;
  ++depth_;
  // The one place where a failure of the database becomes a value.
  try {
    if (outermost) leave_suspect_log();
    begin(outermost, durability);
    outcome = body();
    if (failed_) outcome = *failed_;  // in a part whose fault the body swallowed
    if (outcome.has_value()) commit(outermost);
  } catch (const SQLite::Exception& error) {
    failed_ = store_failed(error);
    outcome = *failed_;
    if ((error.getErrorCode() & 0xff) == SQLITE_IOERR) log_suspect_ = true;
  } catch (...) {  // the body's own: nothing of this transaction stays, and the exception goes on
    --depth_;
    roll_back(outermost);
    throw;
  }
  --depth_;
  if (outcome.has_error()) roll_back(outermost);
  if (outermost) failed_.reset();
  return outcome;
}

// SQLite's application_id: a number in the file's header that nothing else uses here.
std::uint32_t SqliteStore::identity() {
  const std::int64_t known = database_.execAndGet("PRAGMA application_id").getInt64();
  if (known != 0) return static_cast<std::uint32_t>(known);
  const std::string random = "0x0" + random_hex(4).substr(1);  // 28 bits
  const auto fresh = static_cast<std::uint32_t>(std::stoul(random, nullptr, 16)) | 1U;
  database_.exec(fmt::format("PRAGMA application_id = {}", fresh));
  return fresh;
}

namespace {
// The number that each opening writes into the database itself, past the write-ahead log: SQLite's user_version, four
// bytes at 60 (sqlite.org, "Database File Format", 1.3). 0: none.
std::uint32_t number_in_file(const std::string& path) {
  std::array<unsigned char, 4> bytes{};
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  (void)::pread(fd, bytes.data(), bytes.size(), 60);
  ::close(fd);
  return (std::uint32_t{bytes[0]} << 24) | (std::uint32_t{bytes[1]} << 16) | (std::uint32_t{bytes[2]} << 8) | bytes[3];
}

Fault does_not_fit(const std::string& path) {
  return {FaultKind::unavailable,
          "store_failed",
          fmt::format("{}: the database is malformed with the write-ahead log beside it ({}-wal): one of the two was "
                      "restored without the other; restore both, or remove the log",
                      path, path),
          {}};
}

// A log that a dead process left is replayed into whatever database stands beside it. If that is not the one which the
// process had, the two may still belong together; if they do not, nobody should serve from what comes out.
Result<void> check_replayed(SQLite::Database& database, Store& store, const std::string& path) {
  bool holds = database.execAndGet("PRAGMA quick_check(1)").getString() == "ok";
  if (holds) {
    const auto audited = store.transaction([&]() -> Result<void> {
      for (const auto& invariant : store.audit({})) holds = holds && invariant.ok;
      return {};
    });
    holds = holds && audited.has_value();
  }
  if (holds) return {};
  return does_not_fit(path);
}

// `trusted`: no log is replayed, or it is known to be this database's.
Result<std::unique_ptr<Store>> open_database(FolderLock lock, SQLite::Database database, const std::string& path,
                                             bool trusted) {
  sqlite3* const handle = database.getHandle();
  // A start that is refused changes nothing: closing would move the log into the database.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, trusted ? 0 : 1, nullptr);
  database.exec(kPragmas);
  sqlite3_wal_hook(handle, checkpoint_long_log, nullptr);
  if (auto migrated = migrate(database); migrated.has_error()) return migrated.error();
  // The number changes with every opening, and leaves the log for the database at once.
  const auto number = static_cast<std::uint32_t>(std::stoul(random_hex(4), nullptr, 16)) >> 1U | 1U;
  auto store = std::make_unique<SqliteStore>(std::move(lock), std::move(database));
  if (!trusted) {
    if (auto checked = check_replayed(store->database(), *store, path); checked.has_error()) return checked.error();
    sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  }
  store->database().exec(fmt::format("PRAGMA user_version = {}; PRAGMA wal_checkpoint(TRUNCATE)", number));
  if (!store->lock().note(number)) return unusable(path, errno);
  return std::unique_ptr<Store>(std::move(store));
}
}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& data_dir) {
  if (auto made = make_folder(data_dir); made.has_error()) return made.error();
  auto lock = lock_folder(data_dir);
  if (lock.has_error()) return lock.error();
  const std::string path = data_dir + "/tollgate.db";
  if (auto made = make_private_file(path); made.has_error()) return made.error();
  std::error_code no_log;
  const bool replays = std::filesystem::file_size(path + "-wal", no_log) > 0 && !no_log;
  const bool trusted = !replays || lock->noted() == number_in_file(path);
  try {
    // One thread uses the connection, so SQLite needs no locks; and nobody asks how much memory it has.
    static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)configured;  // refused after another use of SQLite in this process, which only costs time
    SQLite::Database database(path, SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX);
    return open_database(*std::move(lock), std::move(database), path, trusted);
  } catch (const SQLite::Exception& error) {
    if (!trusted) return does_not_fit(path);
    return Fault{FaultKind::unavailable, "store_failed", fmt::format("{}: {}", path, error.what()), {}};
  }
}

}  // namespace tollgate::billing
