// Version 1 of the schema: accounts, keys, services, subscriptions, the ledger, and usage.
#include "billing/store_sqlite_migrations.h"

namespace tollgate::billing {

// Instants are microseconds since 1970 (UTC), hours are hours since then, money is micro-yuan. The tables are STRICT:
// a sum that outgrew 64 bits would become floating point in SQLite, and is refused instead.
const char* const kSchemaCore = R"sql(
CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
  number INTEGER PRIMARY KEY AUTOINCREMENT,  -- their age
  id TEXT NOT NULL UNIQUE,
  account TEXT NOT NULL REFERENCES accounts,
  name TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),  -- SHA-256; the key itself is stored nowhere
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT;
CREATE INDEX keys_by_account ON keys (account, number);

CREATE TABLE services (
  id TEXT PRIMARY KEY,
  model TEXT NOT NULL,
  definition TEXT NOT NULL,
  removed_at INTEGER  -- the row stays, so that old usage can be read
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriptions (
  number INTEGER PRIMARY KEY AUTOINCREMENT CHECK (number BETWEEN 1 AND 4294967295),
  account TEXT NOT NULL REFERENCES accounts,
  service TEXT NOT NULL REFERENCES services,
  paid INTEGER NOT NULL CHECK (paid IN (0, 1)),
  plan TEXT NOT NULL,
  free_points_granted INTEGER NOT NULL CHECK (free_points_granted >= 0),
  free_points_used INTEGER NOT NULL DEFAULT 0 CHECK (free_points_used >= 0),  -- the sum of usage_hours
  created_at INTEGER NOT NULL,
  UNIQUE (account, service)
) STRICT;
CREATE INDEX subscriptions_by_service ON subscriptions (service);

CREATE TABLE transfers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  account TEXT NOT NULL REFERENCES accounts,  -- the customer it concerns
  debit TEXT NOT NULL,
  credit TEXT NOT NULL CHECK (credit <> debit),
  amount INTEGER NOT NULL CHECK (amount > 0),
  reason TEXT NOT NULL,
  reference TEXT NOT NULL
) STRICT;
CREATE INDEX transfers_by_account ON transfers (account, id);
CREATE INDEX transfers_by_reference ON transfers (reason, reference);

-- Sums of the transfers, kept by the trigger below and checked by the audit.
CREATE TABLE balances (
  ledger_account TEXT PRIMARY KEY,
  debits INTEGER NOT NULL DEFAULT 0,
  credits INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TRIGGER transfers_are_balanced AFTER INSERT ON transfers BEGIN
  INSERT INTO balances (ledger_account, debits) VALUES (NEW.debit, NEW.amount)
    ON CONFLICT DO UPDATE SET debits = debits + excluded.debits;
  INSERT INTO balances (ledger_account, credits) VALUES (NEW.credit, NEW.amount)
    ON CONFLICT DO UPDATE SET credits = credits + excluded.credits;
END;
CREATE TRIGGER transfers_refuse_update BEFORE UPDATE ON transfers BEGIN
  SELECT RAISE(ABORT, 'transfers are immutable: correct one by another');
END;
CREATE TRIGGER transfers_refuse_delete BEFORE DELETE ON transfers BEGIN
  SELECT RAISE(ABORT, 'transfers are immutable: correct one by another');
END;
-- INSERT OR REPLACE removes the old row without running delete triggers.
CREATE TRIGGER transfers_refuse_replace BEFORE INSERT ON transfers
WHEN EXISTS (SELECT 1 FROM transfers WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'transfers are immutable: correct one by another');
END;

CREATE TABLE deposits (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts,
  kind TEXT NOT NULL CHECK (kind IN ('cash', 'voucher')),
  amount INTEGER NOT NULL CHECK (amount > 0),
  expires_at INTEGER CHECK (expires_at IS NULL OR kind = 'voucher'),
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX vouchers_by_account ON deposits (account, expires_at) WHERE kind = 'voucher';

CREATE TABLE qps_packs (
  id TEXT PRIMARY KEY,
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  qps INTEGER NOT NULL CHECK (qps > 0),
  unlimited INTEGER NOT NULL CHECK (unlimited IN (0, 1)),
  starts_at INTEGER NOT NULL,
  ends_at INTEGER NOT NULL CHECK (ends_at > starts_at),
  price INTEGER NOT NULL CHECK (price > 0),
  bought_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX qps_packs_by_subscription ON qps_packs (subscription, ends_at);

CREATE TABLE epochs (
  epoch INTEGER PRIMARY KEY AUTOINCREMENT CHECK (epoch BETWEEN 1 AND 4294967295),
  gateway TEXT NOT NULL,
  opened_at INTEGER NOT NULL
) STRICT;

-- The largest total that each source reported.
CREATE TABLE usage_reports (
  gateway TEXT NOT NULL,
  epoch INTEGER NOT NULL REFERENCES epochs,
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  hour INTEGER NOT NULL,
  calls_succeeded INTEGER NOT NULL,
  calls_failed INTEGER NOT NULL,
  calls_unmetered INTEGER NOT NULL,
  free_points INTEGER NOT NULL,
  billable_points INTEGER NOT NULL,
  PRIMARY KEY (gateway, epoch, subscription, hour)
) STRICT, WITHOUT ROWID;

-- Their sums over the sources, moved in the same transaction and checked by the audit.
CREATE TABLE usage_hours (
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  hour INTEGER NOT NULL,
  calls_succeeded INTEGER NOT NULL,
  calls_failed INTEGER NOT NULL,
  calls_unmetered INTEGER NOT NULL,
  free_points INTEGER NOT NULL,
  billable_points INTEGER NOT NULL,
  PRIMARY KEY (subscription, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
  key TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  status INTEGER NOT NULL,
  body TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
)sql";

}  // namespace tollgate::billing
