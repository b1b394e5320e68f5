// The database schema as an ordered list of steps, and the bringing of a database up to the newest of them.
// A step that was released is never edited: a change of the schema is another step at the end.
#pragma once

#include <SQLiteCpp/Database.h>

#include "base/fault.h"

namespace tollgate::billing {

// The steps, each the whole of what one version adds.
extern const char* const kSchemaCore;
extern const char* const kSchemaSettlement;
extern const char* const kSchemaBooks;
extern const char* const kSchemaEpochs;
extern const char* const kSchemaAuditLog;
extern const char* const kSchemaAccountTokens;

// Runs the steps that `database` has not had yet, all in one transaction. schema_too_new: a newer program made it;
// nothing was touched. Throws SQLite::Exception where the database fails.
Result<void> migrate(SQLite::Database& database);

}  // namespace tollgate::billing
