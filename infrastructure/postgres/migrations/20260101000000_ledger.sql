-- migrate:up

-- Rather fail and be run again than make every writer queue behind a lock that does not come.
SET LOCAL lock_timeout = '5s';

CREATE TABLE requests (
    generation_id    uuid PRIMARY KEY,
    received_at      timestamptz NOT NULL,
    first_content_at timestamptz,
    ended_at         timestamptz NOT NULL,
    api              text NOT NULL,
    operation        text NOT NULL,
    model            text NOT NULL,
    streamed         boolean NOT NULL,
    outcome          text NOT NULL,
    error_reason     text,
    finish_reasons   text[] NOT NULL,
    provider         text,
    worker           text,
    provider_model   text,
    input_tokens     bigint NOT NULL,
    output_tokens    bigint NOT NULL,
    cached_tokens    bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    usage_estimated  boolean NOT NULL,
    config_version   text NOT NULL,
    user_label       text,
    edge_request_id  text,
    trace_id         text,
    latency_ms       double precision NOT NULL
        GENERATED ALWAYS AS (extract(epoch FROM ended_at - received_at) * 1000) STORED,
    first_token_ms   double precision
        GENERATED ALWAYS AS (extract(epoch FROM first_content_at - received_at) * 1000) STORED
);
CREATE INDEX requests_received_at ON requests (received_at, generation_id);

COMMENT ON TABLE requests IS 'One row for each accepted request, written when it ends. Never a prompt, an answer or a key.';
COMMENT ON COLUMN requests.generation_id IS 'UUIDv7; the id in the answer.';
COMMENT ON COLUMN requests.outcome IS 'success, error, cancelled, deadline or shed.';
COMMENT ON COLUMN requests.error_reason IS 'A name of ErrorReason; null on success.';
COMMENT ON COLUMN requests.worker IS 'The worker that served it; null when none did.';
COMMENT ON COLUMN requests.input_tokens IS 'Tokens of the prompt, cached ones included.';
COMMENT ON COLUMN requests.output_tokens IS 'Tokens generated, reasoning included.';
COMMENT ON COLUMN requests.usage_estimated IS 'Whether the tokens are an estimate, since the provider gave none.';
COMMENT ON COLUMN requests.user_label IS 'The label the caller gave for the end user.';
COMMENT ON COLUMN requests.latency_ms IS 'From arrival to end.';
COMMENT ON COLUMN requests.first_token_ms IS 'From arrival to the first content; null when there was none.';

-- Without a foreign key: the loader writes a request and its attempts in one transaction, and a key would
-- stand in the way of keeping the two for different times.
CREATE TABLE attempts (
    attempt_id       uuid PRIMARY KEY,
    generation_id    uuid NOT NULL,
    number           integer NOT NULL,
    placed_at        timestamptz NOT NULL,
    first_content_at timestamptz,
    ended_at         timestamptz,
    provider         text NOT NULL,
    worker           text NOT NULL,
    provider_model   text NOT NULL,
    strategy         text NOT NULL,
    outcome          text NOT NULL,
    error_reason     text,
    input_tokens     bigint NOT NULL,
    output_tokens    bigint NOT NULL,
    cached_tokens    bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    usage_estimated  boolean NOT NULL,
    latency_ms       double precision
        GENERATED ALWAYS AS (extract(epoch FROM ended_at - placed_at) * 1000) STORED,
    first_token_ms   double precision
        GENERATED ALWAYS AS (extract(epoch FROM first_content_at - placed_at) * 1000) STORED
);
CREATE INDEX attempts_generation_id ON attempts (generation_id, number);

COMMENT ON TABLE attempts IS 'Each attempt at a request, from number 1.';
COMMENT ON COLUMN attempts.strategy IS 'What chose the worker; `fallback` where the gateway chose without a router.';
COMMENT ON COLUMN attempts.latency_ms IS 'From placement to end.';

-- How far each segment of each gateway''s spool is loaded; moves in the transaction that inserts the rows.
CREATE TABLE spool_progress (
    spool_id     uuid NOT NULL,
    segment      text NOT NULL,
    loaded_bytes bigint NOT NULL,
    loaded_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (spool_id, segment)
);

COMMENT ON TABLE spool_progress IS 'How far each segment of a spool is loaded. Written by the loader.';

-- What one looks at first.
CREATE VIEW request_summary AS
SELECT
    r.generation_id, r.received_at, r.model, r.api, r.operation, r.streamed, r.outcome, r.error_reason,
    r.finish_reasons, r.provider, r.worker, r.provider_model,
    r.input_tokens, r.output_tokens, r.cached_tokens, r.reasoning_tokens, r.usage_estimated,
    r.latency_ms, r.first_token_ms, a.attempts, r.user_label, r.edge_request_id, r.trace_id, r.config_version
FROM requests r
CROSS JOIN LATERAL (SELECT count(*) AS attempts FROM attempts WHERE attempts.generation_id = r.generation_id) a;

COMMENT ON VIEW request_summary IS 'Requests with the number of their attempts.';

-- migrate:down

-- The ledger only goes forward.
