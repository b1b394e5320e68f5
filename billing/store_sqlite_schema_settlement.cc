// Version 2 of the schema: plans in use, settlements, purchases of points and calls, the points ledger, the outbox.
#include "billing/store_sqlite_migrations.h"

namespace tollgate::billing {

// Months are counted from year 0 (year x 12 + month - 1). An hour of usage is `open` while it has something that no
// settlement took; only those are in the index.
const char* const kSchemaSettlement = R"sql(
ALTER TABLE usage_hours ADD COLUMN settled_free INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN settled_billable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN settled_unmetered INTEGER NOT NULL DEFAULT 0;  -- calls
ALTER TABLE usage_hours ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;           -- settlements so far
ALTER TABLE usage_hours ADD COLUMN open INTEGER NOT NULL DEFAULT 1;
CREATE INDEX usage_open ON usage_hours (hour, subscription) WHERE open = 1;

-- Billable points that a plan by the call has charged and that do not make a whole call yet.
ALTER TABLE subscriptions ADD COLUMN call_remainder INTEGER NOT NULL DEFAULT 0;

-- What each plan said when the first subscription was pinned to it.
CREATE TABLE plans (
  id TEXT PRIMARY KEY,
  canonical TEXT NOT NULL,
  pinned_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER plans_refuse_update BEFORE UPDATE ON plans BEGIN
  SELECT RAISE(ABORT, 'a plan in use is immutable');
END;
CREATE TRIGGER plans_refuse_delete BEFORE DELETE ON plans BEGIN
  SELECT RAISE(ABORT, 'a plan in use is immutable');
END;

CREATE TABLE migrations (
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  from_hour INTEGER NOT NULL,
  plan_before TEXT NOT NULL,
  plan_after TEXT NOT NULL,
  asked_at INTEGER NOT NULL,
  applied INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (subscription, from_hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX migrations_open ON migrations (from_hour) WHERE applied = 0;

CREATE TABLE packages (
  id TEXT PRIMARY KEY,
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  points INTEGER NOT NULL CHECK (points > 0),
  points_left INTEGER NOT NULL CHECK (points_left BETWEEN 0 AND points),
  price INTEGER NOT NULL CHECK (price > 0),
  bought_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL CHECK (expires_at > bought_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX packages_by_subscription ON packages (subscription, expires_at);

CREATE TABLE count_packs (
  id TEXT PRIMARY KEY,
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  calls INTEGER NOT NULL CHECK (calls > 0),
  calls_left INTEGER NOT NULL CHECK (calls_left BETWEEN 0 AND calls),
  price INTEGER NOT NULL CHECK (price > 0),
  bought_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX count_packs_by_subscription ON count_packs (subscription, bought_at);

CREATE TABLE settlements (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  hour INTEGER NOT NULL,
  revision INTEGER NOT NULL CHECK (revision > 0),
  at INTEGER NOT NULL,
  account TEXT NOT NULL,
  month INTEGER NOT NULL,
  plan TEXT NOT NULL,
  free_points INTEGER NOT NULL CHECK (free_points >= 0),
  billable_points INTEGER NOT NULL CHECK (billable_points >= 0),
  calls_unmetered INTEGER NOT NULL CHECK (calls_unmetered >= 0),
  unmetered_points INTEGER NOT NULL CHECK (unmetered_points >= 0),
  month_points_before INTEGER NOT NULL,
  month_points_after INTEGER NOT NULL,
  amount INTEGER NOT NULL CHECK (amount >= 0),
  UNIQUE (subscription, hour, revision)  -- once, whatever is repeated
) STRICT;
CREATE INDEX settlements_by_account ON settlements (account, month);

CREATE TABLE settlement_parts (
  settlement INTEGER NOT NULL REFERENCES settlements,
  part INTEGER NOT NULL,
  paid_from INTEGER NOT NULL,
  item TEXT NOT NULL,
  points INTEGER NOT NULL CHECK (points >= 0),
  calls INTEGER NOT NULL CHECK (calls >= 0),
  unit_price INTEGER NOT NULL CHECK (unit_price >= 0),
  amount INTEGER NOT NULL CHECK (amount >= 0),
  PRIMARY KEY (settlement, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE month_points (  -- tier positions: sums of the settlements of a month
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  month INTEGER NOT NULL,
  points INTEGER NOT NULL CHECK (points >= 0),
  PRIMARY KEY (subscription, month)
) STRICT, WITHOUT ROWID;

CREATE TABLE charges (  -- of one account at one hour boundary: sums of its settlements there
  account TEXT NOT NULL REFERENCES accounts,
  at INTEGER NOT NULL,
  amount INTEGER NOT NULL CHECK (amount > 0),
  PRIMARY KEY (account, at)
) STRICT, WITHOUT ROWID;

-- Points twice over, like money: each row is the debit of one account and the credit of another.
CREATE TABLE point_transfers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  debit TEXT NOT NULL,
  credit TEXT NOT NULL CHECK (credit <> debit),
  points INTEGER NOT NULL CHECK (points > 0),
  reason TEXT NOT NULL CHECK (reason IN ('granted', 'expired', 'bought', 'used_free', 'used_package',
                                         'used_count_pack', 'charged', 'unmetered')),
  reference TEXT NOT NULL
) STRICT;

CREATE TABLE point_balances (
  point_account TEXT PRIMARY KEY,
  debits INTEGER NOT NULL DEFAULT 0,
  credits INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TRIGGER point_transfers_are_balanced AFTER INSERT ON point_transfers BEGIN
  INSERT INTO point_balances (point_account, debits) VALUES (NEW.debit, NEW.points)
    ON CONFLICT DO UPDATE SET debits = debits + excluded.debits;
  INSERT INTO point_balances (point_account, credits) VALUES (NEW.credit, NEW.points)
    ON CONFLICT DO UPDATE SET credits = credits + excluded.credits;
END;

CREATE TRIGGER point_transfers_refuse_update BEFORE UPDATE ON point_transfers BEGIN
  SELECT RAISE(ABORT, 'transfers are immutable: correct one by another');
END;
CREATE TRIGGER point_transfers_refuse_delete BEFORE DELETE ON point_transfers BEGIN
  SELECT RAISE(ABORT, 'transfers are immutable: correct one by another');
END;
CREATE TRIGGER point_transfers_refuse_replace BEFORE INSERT ON point_transfers
WHEN EXISTS (SELECT 1 FROM point_transfers WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'transfers are immutable: correct one by another');
END;
CREATE TRIGGER settlements_refuse_update BEFORE UPDATE ON settlements BEGIN
  SELECT RAISE(ABORT, 'settlements are immutable');
END;
CREATE TRIGGER settlements_refuse_delete BEFORE DELETE ON settlements BEGIN
  SELECT RAISE(ABORT, 'settlements are immutable');
END;
CREATE TRIGGER settlement_parts_refuse_update BEFORE UPDATE ON settlement_parts BEGIN
  SELECT RAISE(ABORT, 'settlements are immutable');
END;
CREATE TRIGGER settlement_parts_refuse_delete BEFORE DELETE ON settlement_parts BEGIN
  SELECT RAISE(ABORT, 'settlements are immutable');
END;

INSERT INTO point_transfers (at, subscription, debit, credit, points, reason, reference)
  SELECT created_at, number, 'issued:free_quota', 'free:' || number, free_points_granted, 'granted', plan
  FROM subscriptions WHERE free_points_granted > 0;

CREATE TABLE reminders (  -- the most urgent threshold of which an account was reminded
  account TEXT PRIMARY KEY REFERENCES accounts,
  hours INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notifications (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  kind INTEGER NOT NULL,
  account TEXT NOT NULL REFERENCES accounts,
  created_at INTEGER NOT NULL,
  cash INTEGER NOT NULL,
  vouchers INTEGER NOT NULL,
  hours_left INTEGER,
  state INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER NOT NULL,
  delivered_at INTEGER,
  last_error TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX notifications_pending ON notifications (number) WHERE state = 0;

CREATE TABLE due_through (  -- the last hour boundary that was run
  id INTEGER PRIMARY KEY CHECK (id = 1),
  at INTEGER NOT NULL
) STRICT;
)sql";

}  // namespace tollgate::billing
