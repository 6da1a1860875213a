-- migrate:up

SET LOCAL lock_timeout = '5s';

-- Nothing in here lets anyone in: a secret is kept as an HMAC under a pepper that is not in the database.
CREATE TABLE keys (
    key_id          text PRIMARY KEY CHECK (key_id ~ '^[a-z0-9]{16}$'),
    mac             bytea NOT NULL CHECK (octet_length(mac) = 32),
    pepper_id       text NOT NULL,
    previous_mac    bytea CHECK (octet_length(previous_mac) = 32),
    previous_pepper_id text,
    previous_until  timestamptz,
    owner           text NOT NULL CHECK (owner <> ''),
    name            text NOT NULL DEFAULT '',
    labels          jsonb NOT NULL DEFAULT '{}',
    models          text[] NOT NULL DEFAULT '{}',
    providers       text[] NOT NULL DEFAULT '{}',
    scopes          text[] NOT NULL DEFAULT '{}',
    expires_at      timestamptz,
    requests_per_minute bigint CHECK (requests_per_minute >= 0),
    tokens_per_minute   bigint CHECK (tokens_per_minute >= 0),
    concurrency         bigint CHECK (concurrency >= 0),
    budget_nano_usd_per_day   bigint CHECK (budget_nano_usd_per_day >= 0),
    budget_nano_usd_per_month bigint CHECK (budget_nano_usd_per_month >= 0),
    criticality     smallint NOT NULL DEFAULT 0,
    weight          double precision NOT NULL DEFAULT 1 CHECK (weight > 0 AND weight < 'infinity'),
    content         text NOT NULL DEFAULT 'none' CHECK (content IN ('none', 'hashed', 'redacted', 'stored')),
    content_retention_days integer NOT NULL DEFAULT 30 CHECK (content_retention_days BETWEEN 1 AND 3650),
    billing         text NOT NULL DEFAULT 'strict' CHECK (billing IN ('strict', 'relaxed')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by      text NOT NULL,
    rotated_at      timestamptz,
    revoked_at      timestamptz,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nulls(previous_mac, previous_pepper_id, previous_until) IN (0, 3))
);
CREATE INDEX keys_changed_at ON keys (changed_at);
CREATE INDEX keys_owner ON keys (owner, created_at);

COMMENT ON TABLE keys IS 'Callers'' keys. Never a secret: HMAC-SHA256 of it under a pepper, 32 bytes.';
COMMENT ON COLUMN keys.key_id IS 'The public part, between `hi_` and the secret.';
COMMENT ON COLUMN keys.pepper_id IS 'Which pepper it was made under; says nothing of the pepper.';
COMMENT ON COLUMN keys.previous_mac IS 'Of the secret before the last rotation, taken until `previous_until`.';
COMMENT ON COLUMN keys.models IS 'Models it may use; empty is all. So are `providers` and `scopes`.';
COMMENT ON COLUMN keys.criticality IS 'A number of Criticality; 0 is as CRITICAL.';
COMMENT ON COLUMN keys.changed_at IS 'When anything of it changed last: gateways ask for what is newer than what they know.';

CREATE TABLE audit (
    audit_id  uuid PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    operator  text NOT NULL,
    action    text NOT NULL,
    key_id    text,
    details   jsonb NOT NULL DEFAULT '{}',
    outcome   text NOT NULL
);
CREATE INDEX audit_at ON audit (at);

COMMENT ON TABLE audit IS 'What operators did, or tried to: written with it, in one transaction. Never a secret.';

-- migrate:down

-- The ledger only goes forward.
