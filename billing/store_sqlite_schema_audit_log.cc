// Version 5 of the schema: the audit log of changes.
#include "billing/store_sqlite_migrations.h"

namespace tollgate::billing {

// Hashes are text: a row that somebody damaged must still be readable, to be named.
const char* const kSchemaAuditLog = R"sql(
CREATE TABLE audit_log (
  sequence INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  role TEXT NOT NULL,
  address TEXT NOT NULL,
  request_id TEXT NOT NULL,
  method TEXT NOT NULL,
  path TEXT NOT NULL,
  body TEXT NOT NULL,
  status INTEGER NOT NULL,
  made TEXT NOT NULL,
  previous_hash TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_log_refuse_update BEFORE UPDATE ON audit_log BEGIN
  SELECT RAISE(ABORT, 'the audit log only grows');
END;
CREATE TRIGGER audit_log_refuse_delete BEFORE DELETE ON audit_log BEGIN
  SELECT RAISE(ABORT, 'the audit log only grows');
END;
-- A row that is not the next one, which a replaced one never is.
CREATE TRIGGER audit_log_refuse_gap BEFORE INSERT ON audit_log
WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM audit_log)
  OR NEW.previous_hash IS NOT coalesce((SELECT hash FROM audit_log ORDER BY sequence DESC LIMIT 1),
                                       '0000000000000000000000000000000000000000000000000000000000000000') BEGIN
  SELECT RAISE(ABORT, 'the audit log only grows');
END;
)sql";

}  // namespace tollgate::billing
