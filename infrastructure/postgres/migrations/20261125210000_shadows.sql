-- migrate:up

SET LOCAL lock_timeout = '5s';

-- A shadow is none of the attempts that its request took: the caller's x-hybrid-attempts does not count it either.
CREATE OR REPLACE VIEW request_summary AS
SELECT
    r.generation_id, r.received_at, r.model, r.api, r.operation, r.streamed, r.outcome, r.error_reason,
    r.finish_reasons, r.provider, r.worker, r.provider_model,
    r.input_tokens, r.output_tokens, r.cached_tokens, r.reasoning_tokens, r.usage_estimated,
    r.latency_ms, r.first_token_ms, a.attempts, r.user_label, r.edge_request_id, r.trace_id, r.config_version
FROM requests r
CROSS JOIN LATERAL (
    SELECT count(*) AS attempts FROM attempts WHERE attempts.generation_id = r.generation_id AND kind <> 'shadow'
) a;

COMMENT ON VIEW request_summary IS 'Requests with the number of their attempts, shadows aside.';

-- migrate:down

-- The ledger only goes forward.
