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
    step         bigint NOT NULL DEFAULT 0,
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
COMMENT ON COLUMN quota_leases.step IS 'Counts what its gateway has written, so that a write which comes late changes nothing.';
COMMENT ON TABLE gateway_runs IS 'One row for each start of a gateway. `ended_at` is set where it gave back what it had left.';

-- Lets a gateway use more of a key's limits, or writes down that it uses less: all its measures in one transaction.
-- Every amount is what the gateway then has, never what is added, so that a write whose end nobody heard can be repeated.
--   limits  as it knows them; the key's own, where that is less
--   held    what it has in any case: it relies on so much, or has used it
--   enough  less than that would not help it; where there is not so much it gets nothing more than `held`
--   goal    what it asks for
--   spare   beside that at most so much of what would be left, and a twentieth of it
CREATE FUNCTION lease_quota(
    the_key text, the_run uuid, the_step bigint,
    measures text[], starts timestamptz[], limits bigint[], held bigint[], enough bigint[], goals bigint[], spares bigint[]
) RETURNS TABLE (measure text, period_start timestamptz, most bigint, others bigint, amount bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    known keys%ROWTYPE;
BEGIN
    -- A statement of its own: those after it see what the last holder of the lock has written.
    SELECT * INTO known FROM keys WHERE key_id = the_key FOR NO KEY UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM gateway_runs WHERE gateway_run = the_run AND ended_at IS NOT NULL) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH asked AS (
        SELECT each.*, least(each.limited, CASE each.measure
            WHEN 'requests' THEN known.requests_per_minute
            WHEN 'tokens' THEN known.tokens_per_minute
            WHEN 'concurrency' THEN known.concurrency
            WHEN 'usd_day' THEN known.budget_nano_usd_per_day
            WHEN 'usd_month' THEN known.budget_nano_usd_per_month END) AS most
        FROM unnest(measures, starts, limits, held, enough, goals, spares)
            AS each (measure, period_start, limited, held, enough, goal, spare)
    ), shared AS (
        SELECT asked.*, (
            SELECT coalesce(sum(lease.amount), 0)
            FROM quota_leases lease LEFT JOIN gateway_runs run USING (gateway_run)
            WHERE lease.key_id = the_key AND lease.measure = asked.measure AND lease.period_start = asked.period_start
                AND lease.gateway_run <> the_run
                AND (asked.measure <> 'concurrency' OR run.seen_at > now() - interval '30 seconds')
        ) AS others
        FROM asked
    ), decided AS (
        SELECT shared.*, greatest(shared.held, CASE WHEN enough <= most - others THEN
            least(goal + least(spare, greatest(0, div(most - others - goal, 20))), most - others) END)::bigint AS amount
        FROM shared
    ), written AS (
        INSERT INTO quota_leases AS lease (key_id, measure, period_start, gateway_run, amount, step)
        SELECT the_key, measure, period_start, the_run, amount, the_step FROM decided
        ON CONFLICT (key_id, measure, period_start, gateway_run) DO UPDATE
        SET amount = excluded.amount, step = excluded.step, renewed_at = now()
        WHERE lease.step < excluded.step
    )
    SELECT measure, period_start, most, others::bigint, amount FROM decided;
END $$;

-- migrate:down

-- The ledger only goes forward.
