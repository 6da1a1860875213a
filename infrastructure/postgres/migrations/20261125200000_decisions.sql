-- migrate:up

SET LOCAL lock_timeout = '5s';

-- With defaults, or null: a loader of the version before writes rows without them, and the rows that are there have none.
ALTER TABLE requests
    ADD COLUMN estimated_input_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN max_output_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN refused_by jsonb,
    ADD COLUMN prefix_hashes bigint[] NOT NULL DEFAULT '{}';
ALTER TABLE attempts
    ADD COLUMN kind text NOT NULL DEFAULT '',
    ADD COLUMN decision jsonb;

COMMENT ON COLUMN requests.estimated_input_tokens IS 'Tokens of the prompt, as the router was told; an estimate.';
COMMENT ON COLUMN requests.max_output_tokens IS 'Most tokens of the answer, as asked; 0 where there was no limit.';
COMMENT ON COLUMN requests.refused_by IS
    'Where the router refused: {strategy, targets, eligible, candidates, ruled_out}, as in attempts.decision.';
COMMENT ON COLUMN requests.prefix_hashes IS
    'Keyed hashes of the prompt''s leading blocks. They say nothing of the text, and cannot be compared across callers.';
COMMENT ON COLUMN attempts.kind IS 'Empty for the first; retry, hedge, continuation or shadow.';
COMMENT ON COLUMN attempts.decision IS
    'Why it went there: the strategy, how many targets there were and were eligible, the chosen one and the best of the others '
    'with their terms, and how many each filter ruled out. Null where the gateway placed it alone.';

-- migrate:down

-- The ledger only goes forward.
