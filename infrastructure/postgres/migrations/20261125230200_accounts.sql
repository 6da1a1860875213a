-- migrate:up

SET LOCAL lock_timeout = '5s';

-- The least UUIDv7 of a moment, whole milliseconds of 48 bits and zeros: `generation_id >= uuid_from(now() - interval
-- '1 day')` reads no partition that is older.
CREATE FUNCTION uuid_from(moment timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- The moment in a UUIDv7.
CREATE FUNCTION uuid_moment(id uuid) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_timestamp(('x' || lpad(left(replace(id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint / 1000.0);

-- What is there is copied, a million requests in a minute or so. Meanwhile loaders wait, and gateways write to their spools.
DROP VIEW request_summary;
ALTER TABLE requests RENAME TO requests_before;
ALTER TABLE attempts RENAME TO attempts_before;
ALTER INDEX requests_pkey RENAME TO requests_before_pkey;
ALTER INDEX attempts_pkey RENAME TO attempts_before_pkey;
ALTER INDEX requests_received_at RENAME TO requests_before_received_at;
ALTER INDEX attempts_generation_id RENAME TO attempts_before_generation_id;

-- By month of the id itself, so that the id alone is unique over all partitions.
CREATE TABLE requests (LIKE requests_before INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING COMMENTS)
    PARTITION BY RANGE (generation_id);
ALTER TABLE requests
    ADD PRIMARY KEY (generation_id),
    ADD COLUMN key_id text NOT NULL DEFAULT '',
    ADD COLUMN owner text NOT NULL DEFAULT '',
    ADD COLUMN cost_nano_usd bigint NOT NULL DEFAULT 0,
    ADD COLUMN price_version text NOT NULL DEFAULT '',
    ADD COLUMN session_label text,
    ADD COLUMN gateway_run uuid,
    ADD COLUMN placed_at timestamptz,
    ADD COLUMN criticality text NOT NULL DEFAULT '';
CREATE INDEX requests_received_at ON requests (received_at, generation_id);
CREATE INDEX requests_key ON requests (key_id, received_at);
-- What callers have in hand. These ids are random: an index that has each of them would dirty a page somewhere for each
-- row, which is more than all else that is written for it. Of 32 pages at a time this one knows which ids are not there.
CREATE INDEX requests_ids_of_callers ON requests USING brin (
    edge_request_id text_bloom_ops (n_distinct_per_range = 800), trace_id text_bloom_ops (n_distinct_per_range = 800)
) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE attempts (LIKE attempts_before INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING COMMENTS)
    PARTITION BY RANGE (attempt_id);
ALTER TABLE attempts
    ADD PRIMARY KEY (attempt_id),
    ADD COLUMN key_id text NOT NULL DEFAULT '',
    ADD COLUMN owner text NOT NULL DEFAULT '',
    ADD COLUMN model text NOT NULL DEFAULT '',
    ADD COLUMN cost_nano_usd bigint NOT NULL DEFAULT 0,
    ADD COLUMN price_version text NOT NULL DEFAULT '',
    ADD COLUMN follows uuid;
CREATE INDEX attempts_generation_id ON attempts (generation_id, number);

COMMENT ON TABLE requests IS
    'One row for each accepted request, written when it ends. Never a prompt, an answer or a secret. A partition for each month of the id.';
COMMENT ON COLUMN requests.outcome IS 'success, error, cancelled, deadline, shed or abandoned: its gateway was lost.';
COMMENT ON COLUMN requests.key_id IS 'The caller''s key; empty where none is needed. `owner` is as it was then.';
COMMENT ON COLUMN requests.cost_nano_usd IS 'The sum of its attempts, shadows aside.';
COMMENT ON COLUMN requests.price_version IS 'Which version of `prices` was applied.';
COMMENT ON COLUMN requests.gateway_run IS 'The process that served it: see gateway_runs.';
COMMENT ON COLUMN requests.placed_at IS 'When the first attempt was placed; before that it waited.';
COMMENT ON TABLE attempts IS 'Each attempt at a request, from number 1. A partition for each month of the id.';
COMMENT ON COLUMN attempts.follows IS 'The attempt that it retries, runs beside or goes on with; null for the first.';

-- Where rows are whose id is of no time at which this ledger was or will be: of tests, or of a clock that was wrong. Not
-- a default partition: making a month would have to wait for everybody who reads the ledger.
CREATE TABLE requests_early PARTITION OF requests FOR VALUES FROM (MINVALUE) TO (uuid_from('2020-01-01Z'));
CREATE TABLE requests_late PARTITION OF requests FOR VALUES FROM (uuid_from('2100-01-01Z')) TO (MAXVALUE);
CREATE TABLE attempts_early PARTITION OF attempts FOR VALUES FROM (MINVALUE) TO (uuid_from('2020-01-01Z'));
CREATE TABLE attempts_late PARTITION OF attempts FOR VALUES FROM (uuid_from('2100-01-01Z')) TO (MAXVALUE);

COMMENT ON TABLE requests_early IS 'Requests whose id is of a time before 2020. All but empty.';
COMMENT ON TABLE requests_late IS 'Requests whose id is of 2100 or later. All but empty.';
COMMENT ON TABLE attempts_early IS 'Attempts whose id is of a time before 2020. All but empty.';
COMMENT ON TABLE attempts_late IS 'Attempts whose id is of 2100 or later. All but empty.';

-- The partitions of a month, of both tables. Where they are there it does nothing.
CREATE FUNCTION add_ledger_month(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', moment, 'UTC');
    next  timestamptz := (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
    suffix text := to_char(first AT TIME ZONE 'UTC', 'YYYYMM');
    parent text;
BEGIN
    IF first < '2020-01-01Z' OR first >= '2100-01-01Z' OR
        (to_regclass('requests_' || suffix) IS NOT NULL AND to_regclass('attempts_' || suffix) IS NOT NULL) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('add_ledger_month'));
    FOREACH parent IN ARRAY ARRAY['requests', 'attempts'] LOOP
        CONTINUE WHEN to_regclass(parent || '_' || suffix) IS NOT NULL;
        -- Made by itself and then attached, so that nobody who reads or writes the others has to wait, or is waited for.
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', parent || '_' || suffix, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent, parent || '_' || suffix, uuid_from(first), uuid_from(next));
    END LOOP;
END $$;

COMMENT ON FUNCTION add_ledger_month IS 'Makes the partitions of the month of that moment, where they are missing.';

SELECT add_ledger_month(month)
FROM (SELECT DISTINCT date_trunc('month', uuid_moment(id), 'UTC') AS month
      FROM (SELECT generation_id AS id FROM requests_before UNION ALL SELECT attempt_id FROM attempts_before) ids) months;
SELECT add_ledger_month(now());
SELECT add_ledger_month(now() + interval '1 month');

DO $$
DECLARE
    name text;
    columns text;
BEGIN
    FOREACH name IN ARRAY ARRAY['requests', 'attempts'] LOOP
        SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute
        WHERE attrelid = (name || '_before')::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        EXECUTE format('INSERT INTO %I (%s) SELECT %s FROM %I', name, columns, columns, name || '_before');
        EXECUTE format('DROP TABLE %I', name || '_before');
    END LOOP;
END $$;

CREATE VIEW request_summary AS
SELECT
    r.generation_id, r.received_at, r.model, r.api, r.operation, r.streamed, r.outcome, r.error_reason,
    r.finish_reasons, r.provider, r.worker, r.provider_model,
    r.input_tokens, r.output_tokens, r.cached_tokens, r.reasoning_tokens, r.usage_estimated,
    r.latency_ms, r.first_token_ms, a.attempts, r.user_label, r.edge_request_id, r.trace_id, r.config_version,
    r.key_id, r.owner, r.cost_nano_usd, r.price_version, r.session_label
FROM requests r
CROSS JOIN LATERAL (
    SELECT count(*) AS attempts FROM attempts WHERE attempts.generation_id = r.generation_id AND kind <> 'shadow'
) a;

COMMENT ON VIEW request_summary IS 'Requests with the number of their attempts, shadows aside.';

-- Sums by the hour, UTC, moved in the transaction that inserts the rows, by the rows that were new.
CREATE TABLE requests_hourly (
    hour             timestamptz NOT NULL,
    key_id           text NOT NULL,
    owner            text NOT NULL,
    model            text NOT NULL,
    provider         text NOT NULL,
    outcome          text NOT NULL,
    requests         bigint NOT NULL,
    input_tokens     bigint NOT NULL,
    cached_tokens    bigint NOT NULL,
    output_tokens    bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_nano_usd    bigint NOT NULL,
    PRIMARY KEY (hour, key_id, owner, model, provider, outcome)
);
CREATE TABLE attempts_hourly (
    hour             timestamptz NOT NULL,
    key_id           text NOT NULL,
    owner            text NOT NULL,
    model            text NOT NULL,
    provider         text NOT NULL,
    provider_model   text NOT NULL,
    kind             text NOT NULL,
    outcome          text NOT NULL,
    attempts         bigint NOT NULL,
    input_tokens     bigint NOT NULL,
    cached_tokens    bigint NOT NULL,
    output_tokens    bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_nano_usd    bigint NOT NULL,
    PRIMARY KEY (hour, key_id, owner, model, provider, provider_model, kind, outcome)
);

COMMENT ON TABLE requests_hourly IS 'Sums of `requests` by the hour in which they were received, UTC.';
COMMENT ON TABLE attempts_hourly IS 'Sums of `attempts` by the hour in which they were placed, UTC. Shadows are of kind `shadow`.';
COMMENT ON COLUMN requests_hourly.model IS 'As asked for; empty where there is no such model, or nobody got to look, so that callers cannot make rows at will.';

INSERT INTO requests_hourly
SELECT date_trunc('hour', received_at, 'UTC'), '', '',
    CASE WHEN error_reason IN ('MODEL_NOT_FOUND', 'ROUTER_UNAVAILABLE')
        OR provider IS NULL AND outcome IN ('cancelled', 'deadline', 'abandoned') THEN '' ELSE model END,
    coalesce(provider, ''), outcome, count(*), sum(input_tokens), sum(cached_tokens), sum(output_tokens),
    sum(reasoning_tokens), 0
FROM requests GROUP BY 1, 2, 3, 4, 5, 6;
INSERT INTO attempts_hourly
SELECT date_trunc('hour', placed_at, 'UTC'), '', '', model, provider, provider_model, kind, outcome, count(*),
    sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), 0
FROM attempts GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;

-- What was said, of keys that want it kept.
CREATE TABLE contents (
    generation_id uuid PRIMARY KEY,
    key_id        text NOT NULL,
    policy        text NOT NULL CHECK (policy IN ('hashed', 'redacted', 'stored')),
    input         text NOT NULL,
    output        text NOT NULL,
    keep_until    timestamptz NOT NULL
);
CREATE INDEX contents_keep_until ON contents (keep_until);

COMMENT ON TABLE contents IS 'What was said, of keys whose content policy wants it; deleted after `keep_until`. Elsewhere is none of it.';

-- What was asked for tokens and time when.
CREATE TABLE prices (
    version               text NOT NULL,
    provider              text NOT NULL,
    provider_model        text NOT NULL,
    above_input_tokens    bigint NOT NULL DEFAULT 0,
    input_pico_usd        bigint NOT NULL,
    cached_input_pico_usd bigint NOT NULL,
    output_pico_usd       bigint NOT NULL,
    second_pico_usd       bigint NOT NULL,
    source                text NOT NULL,
    first_seen_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version, provider, provider_model, above_input_tokens)
);

COMMENT ON TABLE prices IS 'Every version of the price table that a request names: pico-USD for a token, or a second of an attempt.';
COMMENT ON COLUMN prices.above_input_tokens IS 'For prompts with more tokens than that, up to the next row''s.';

-- migrate:down

-- The ledger only goes forward.
