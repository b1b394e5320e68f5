// Version 6 of the schema: accounts' own read-only tokens.
#include "billing/store_sqlite_migrations.h"

namespace tollgate::billing {

const char* const kSchemaAccountTokens = R"sql(
CREATE TABLE account_tokens (
  number INTEGER PRIMARY KEY AUTOINCREMENT,  -- their age
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL REFERENCES accounts,
  name TEXT NOT NULL,
  prefix TEXT NOT NULL,  -- enough to tell them apart, too little to guess one
  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),  -- SHA-256; the token itself is stored nowhere
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT;
CREATE INDEX account_tokens_by_account ON account_tokens (account, number);

CREATE INDEX notifications_by_account ON notifications (account, number);
)sql";

}  // namespace tollgate::billing
