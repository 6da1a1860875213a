-- migrate:up

SET LOCAL lock_timeout = '5s';

-- With a default: a loader of the version before writes rows without it, and the rows that are there have none.
ALTER TABLE attempts ADD COLUMN tries jsonb NOT NULL DEFAULT '[]';

COMMENT ON COLUMN attempts.tries IS
    'What the worker asked of its provider in vain, with other keys: a list of {key, reason, http_status, ms}.';

-- migrate:down

-- The ledger only goes forward.
