// Version 3 of the schema: settlements are the books of used points themselves, in the order in which they are made,
// and balances are posted by the store. What a settlement writes is what it costs: docs/decisions/0025.
#include "billing/store_sqlite_migrations.h"

namespace tollgate::billing {

// Rows of settlements stand by hour and then subscription, so that those of one boundary are appended; the transfers
// that pay for one have consecutive numbers, from first_transfer on. Tables with SQLite's own rows are dropped by an
// implicit DELETE that runs no triggers.
const char* const kSchemaBooks = R"sql(
CREATE TABLE new_settlements (
  hour INTEGER NOT NULL,
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  revision INTEGER NOT NULL CHECK (revision > 0),
  at INTEGER NOT NULL,
  plan TEXT NOT NULL,
  free_points INTEGER NOT NULL CHECK (free_points >= 0),
  billable_points INTEGER NOT NULL CHECK (billable_points >= 0),
  calls_unmetered INTEGER NOT NULL CHECK (calls_unmetered >= 0),
  unmetered_points INTEGER NOT NULL CHECK (unmetered_points >= 0),
  month_points_before INTEGER NOT NULL,
  month_points_after INTEGER NOT NULL,
  amount INTEGER NOT NULL CHECK (amount >= 0),
  first_transfer INTEGER NOT NULL,
  transfers INTEGER NOT NULL CHECK (transfers >= 0),
  PRIMARY KEY (hour, subscription, revision)  -- once, whatever is repeated
) STRICT, WITHOUT ROWID;
INSERT INTO new_settlements
  SELECT hour, subscription, revision, at, plan, free_points, billable_points, calls_unmetered, unmetered_points,
    month_points_before, month_points_after, amount,
    coalesce((SELECT min(t.id) FROM transfers t WHERE t.reason = 'usage'
      AND t.reference = s.subscription || '/' || s.hour || '/' || s.revision), 0),
    (SELECT count(*) FROM transfers t WHERE t.reason = 'usage'
      AND t.reference = s.subscription || '/' || s.hour || '/' || s.revision)
  FROM settlements s;

CREATE TABLE new_parts (
  hour INTEGER NOT NULL,
  subscription INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  part INTEGER NOT NULL,
  paid_from INTEGER NOT NULL,
  item TEXT NOT NULL,
  points INTEGER NOT NULL CHECK (points >= 0),
  calls INTEGER NOT NULL CHECK (calls >= 0),
  unit_price INTEGER NOT NULL CHECK (unit_price >= 0),
  amount INTEGER NOT NULL CHECK (amount >= 0),
  PRIMARY KEY (hour, subscription, revision, part)
) STRICT, WITHOUT ROWID;
INSERT INTO new_parts
  SELECT s.hour, s.subscription, s.revision, p.part, p.paid_from, p.item, p.points, p.calls, p.unit_price, p.amount
  FROM settlement_parts p JOIN settlements s ON s.id = p.settlement;
DROP TABLE settlement_parts;
DROP TABLE settlements;
ALTER TABLE new_settlements RENAME TO settlements;
ALTER TABLE new_parts RENAME TO settlement_parts;
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
-- INSERT OR REPLACE removes the old row without running delete triggers.
CREATE TRIGGER settlements_refuse_replace BEFORE INSERT ON settlements
WHEN EXISTS (SELECT 1 FROM settlements WHERE hour = NEW.hour AND subscription = NEW.subscription
  AND revision = NEW.revision) BEGIN
  SELECT RAISE(ABORT, 'settlements are immutable');
END;
CREATE TRIGGER settlement_parts_refuse_replace BEFORE INSERT ON settlement_parts
WHEN EXISTS (SELECT 1 FROM settlement_parts WHERE hour = NEW.hour AND subscription = NEW.subscription
  AND revision = NEW.revision AND part = NEW.part) BEGIN
  SELECT RAISE(ABORT, 'settlements are immutable');
END;
CREATE TRIGGER plans_refuse_replace BEFORE INSERT ON plans WHEN EXISTS (SELECT 1 FROM plans WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'a plan in use is immutable');
END;

-- Sums of the settlements of a month: the tier position, and points by kind.
CREATE TABLE subscription_months (
  month INTEGER NOT NULL,
  subscription INTEGER NOT NULL,
  tier_points INTEGER NOT NULL CHECK (tier_points >= 0),
  free_points INTEGER NOT NULL,
  billable_points INTEGER NOT NULL,
  unmetered_points INTEGER NOT NULL,
  PRIMARY KEY (month, subscription)
) STRICT, WITHOUT ROWID;
-- Hours are whole hours of UTC; a Beijing month begins 8 hours earlier.
INSERT INTO subscription_months
  SELECT CAST(strftime('%Y', (hour + 8) * 3600, 'unixepoch') AS INTEGER) * 12
    + CAST(strftime('%m', (hour + 8) * 3600, 'unixepoch') AS INTEGER) - 1 AS month,
    subscription, sum(month_points_after - month_points_before), sum(free_points), sum(billable_points),
    sum(unmetered_points)
  FROM settlements GROUP BY 1, 2;
DROP TABLE month_points;

-- Of free_points_used, what this gateway counted itself: that must never be more than was granted.
ALTER TABLE subscriptions ADD COLUMN free_points_counted INTEGER NOT NULL DEFAULT 0
  CHECK (free_points_counted BETWEEN 0 AND free_points_used);

-- What moves points beside settlements. Used ones are rows of settlements and of their parts.
CREATE TABLE new_point_transfers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  subscription INTEGER NOT NULL REFERENCES subscriptions,
  debit TEXT NOT NULL,
  credit TEXT NOT NULL CHECK (credit <> debit),
  points INTEGER NOT NULL CHECK (points > 0),
  reason TEXT NOT NULL CHECK (reason IN ('granted', 'expired', 'bought')),
  reference TEXT NOT NULL
) STRICT;
INSERT INTO new_point_transfers
  SELECT * FROM point_transfers WHERE reason IN ('granted', 'expired', 'bought');
DROP TABLE point_transfers;
DROP TABLE point_balances;
ALTER TABLE new_point_transfers RENAME TO point_transfers;
CREATE INDEX point_transfers_by_subscription ON point_transfers (subscription);
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

-- The whole ledger of points: every row is the debit of one account and the credit of another.
CREATE VIEW point_ledger AS
  SELECT at, subscription, debit, credit, points, reason, reference FROM point_transfers
  UNION ALL SELECT at, subscription, 'free:' || subscription, 'used:' || subscription, free_points, 'used_free',
    subscription || '/' || hour || '/' || revision FROM settlements WHERE free_points > 0
  UNION ALL SELECT at, subscription, 'issued:unmetered', 'used:' || subscription, unmetered_points, 'unmetered',
    subscription || '/' || hour || '/' || revision FROM settlements WHERE unmetered_points > 0
  UNION ALL SELECT s.at, p.subscription,
    CASE p.paid_from WHEN 2 THEN 'package:' || p.item WHEN 3 THEN 'issued:count_packs' ELSE 'issued:pay_as_you_go' END,
    'used:' || p.subscription, p.points,
    CASE p.paid_from WHEN 2 THEN 'used_package' WHEN 3 THEN 'used_count_pack' ELSE 'charged' END,
    p.subscription || '/' || p.hour || '/' || p.revision
    FROM settlement_parts p JOIN settlements s USING (hour, subscription, revision) WHERE p.points > 0;

-- Numbers are never reused without AUTOINCREMENT too, since no row is ever deleted. The store posts balances itself,
-- once for each account of a commit: transfers_are_balanced is gone.
CREATE TABLE new_transfers (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  account TEXT NOT NULL REFERENCES accounts,  -- the customer it concerns
  debit TEXT NOT NULL,
  credit TEXT NOT NULL CHECK (credit <> debit),
  amount INTEGER NOT NULL CHECK (amount > 0),
  reason TEXT NOT NULL,
  reference TEXT NOT NULL
) STRICT;
INSERT INTO new_transfers SELECT * FROM transfers;
DROP TABLE transfers;
ALTER TABLE new_transfers RENAME TO transfers;
CREATE INDEX transfers_by_account ON transfers (account, id);
CREATE TRIGGER transfers_refuse_update BEFORE UPDATE ON transfers BEGIN
  SELECT RAISE(ABORT, 'transfers are immutable: correct one by another');
END;
CREATE TRIGGER transfers_refuse_delete BEFORE DELETE ON transfers BEGIN
  SELECT RAISE(ABORT, 'transfers are immutable: correct one by another');
END;
CREATE TRIGGER transfers_refuse_replace BEFORE INSERT ON transfers
WHEN EXISTS (SELECT 1 FROM transfers WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'transfers are immutable: correct one by another');
END;
-- Transfers of usage are found by their settlements.
CREATE INDEX transfers_by_reference ON transfers (reason, reference) WHERE reason <> 'usage';
)sql";

}  // namespace tollgate::billing
