"""Whether the hourly sums are those of the rows."""

import asyncpg

_SUMS = (
    "count(*)::bigint, sum(input_tokens)::bigint, sum(cached_tokens)::bigint, sum(output_tokens)::bigint, "
    "sum(reasoning_tokens)::bigint, sum(cost_nano_usd)::bigint"
)
_OF_REQUESTS = f"""
SELECT date_trunc('hour', received_at, 'UTC'), key_id, owner,
    CASE WHEN error_reason IN ('MODEL_NOT_FOUND', 'ROUTER_UNAVAILABLE')
        OR provider IS NULL AND outcome IN ('cancelled', 'deadline', 'abandoned') THEN '' ELSE model END,
    coalesce(provider, ''), outcome, {_SUMS}
FROM requests GROUP BY 1, 2, 3, 4, 5, 6
"""
_OF_ATTEMPTS = f"""
SELECT date_trunc('hour', placed_at, 'UTC'), key_id, owner, model, provider, provider_model, kind, outcome, {_SUMS}
FROM attempts GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""
_PAIRS = (("requests_hourly", _OF_REQUESTS), ("attempts_hourly", _OF_ATTEMPTS))


async def assert_sums(dsn: str) -> None:
    """Every hour's sums are exactly those of its rows, and no hour has sums without rows."""
    connection = await asyncpg.connect(dsn)
    try:
        for table, summed in _PAIRS:
            wrong = await connection.fetch(
                f"((TABLE {table}) EXCEPT ({summed})) UNION ALL (({summed}) EXCEPT (TABLE {table}))"
            )
            assert wrong == [], table
        assert (
            await connection.fetchval("SELECT count(*) FROM requests WHERE outcome = 'shed' AND cost_nano_usd > 0") == 0
        )
    finally:
        await connection.close()
