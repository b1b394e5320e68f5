#include "billing/store_sqlite_migrations.h"

#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>
#include <fmt/format.h>

#include <array>

namespace tollgate::billing {

// Journals name their epochs by random numbers: a store that was restored from an older copy gives the same numbers out
// again, and would take usage that it does not know for usage that it knows.
const char* const kSchemaEpochs = R"sql(
ALTER TABLE epochs ADD COLUMN nonce INTEGER;
CREATE UNIQUE INDEX epochs_by_nonce ON epochs (nonce) WHERE nonce IS NOT NULL;
)sql";

namespace {

constexpr std::array kSteps = {&kSchemaCore,     &kSchemaSettlement,   &kSchemaBooks, &kSchemaEpochs,
                               &kSchemaAuditLog, &kSchemaAccountTokens};  // step i brings version i to i + 1

std::int64_t version_of(SQLite::Database& database) {
  SQLite::Statement query(database, "SELECT max(version) FROM schema_version");
  query.executeStep();
  return query.getColumn(0).getInt64();  // 0 when there is none
}
}  // namespace

Result<void> migrate(SQLite::Database& database) {
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::EXCLUSIVE);
  database.exec("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY) STRICT");
  const auto known = static_cast<std::int64_t>(kSteps.size());
  const auto present = version_of(database);
  if (present > known) {
    return Fault{FaultKind::unavailable,
                 "schema_too_new",
                 fmt::format("the database has schema version {} and this program knows up to {}: "
                             "a newer program made it, use that one",
                             present, known),
                 {}};
  }
  for (auto version = present; version < known; ++version) {
    database.exec(*kSteps[static_cast<std::size_t>(version)]);
    SQLite::Statement insert(database, "INSERT INTO schema_version (version) VALUES (?)");
    insert.bind(1, version + 1);
    insert.exec();
  }
  transaction.commit();
  return {};
}

}  // namespace tollgate::billing
