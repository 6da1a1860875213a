-- migrate:up

SET LOCAL lock_timeout = '5s';

-- What each gateway may use of a key's limit within a period. The sum over gateways is never above the limit, so no two
-- of them can spend the same.
CREATE TABLE quota_leases (
    key_id       text NOT NULL,
    measure      text NOT NULL CHECK (measure IN ('requests', 'tokens', 'concurrency', 'usd_day', 'usd_month')),
    period_start timestamptz NOT NULL,
    gateway_run  uuid NOT NULL,
    amount       bigint NOT NULL CHECK (amount >= 0),
    renewed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, measure, period_start, gateway_run)
);
CREATE INDEX quota_leases_run ON quota_leases (gateway_run);
CREATE INDEX quota_leases_period ON quota_leases (measure, period_start);

-- Processes of gateways, so that what a lost one has left can be given back.
CREATE TABLE gateway_runs (
    gateway_run uuid PRIMARY KEY,
    gateway     text NOT NULL,
    spool_id    uuid NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz
);

COMMENT ON TABLE quota_leases IS
    'Of each limit and period the part that a gateway has been given: requests, tokens, slots or nano-USD, spent or not.';
COMMENT ON COLUMN quota_leases.period_start IS 'UTC; of a slot, which has no period, 1970-01-01.';
COMMENT ON TABLE gateway_runs IS 'One row for each start of a gateway. `ended_at` is set where it gave back what it had left.';

-- migrate:down

-- The ledger only goes forward.
