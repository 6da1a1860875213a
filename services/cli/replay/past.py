"""What the ledger has of a model's last days: what was asked, and how fast it was served."""

import dataclasses
import datetime
from collections.abc import Sequence

import asyncpg

from services.cli.ledger import reading

_ASKED = """
SELECT received_at, outcome, input_tokens, estimated_input_tokens, output_tokens, prefix_hashes
FROM requests
WHERE model = ANY($1::text[]) AND operation <> 'embeddings' AND received_at > now() - $2::interval
ORDER BY received_at DESC, generation_id DESC
LIMIT $3
"""
# Of all models that the providers serve: what runs beside an attempt slows it down, whoever asked for it.
_SERVED = """
SELECT a.provider, a.provider_model, a.worker, a.placed_at, a.first_content_at, a.ended_at, a.outcome, a.error_reason,
       a.input_tokens, a.cached_tokens, a.output_tokens
FROM requests r JOIN attempts a USING (generation_id)
WHERE r.received_at > now() - $2::interval AND a.provider = ANY($1::text[]) AND a.ended_at IS NOT NULL
ORDER BY a.placed_at DESC
LIMIT $3
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A request. `at` is seconds since 1970; `output_tokens` is None where there is no whole answer to tell."""

    at: float
    input_tokens: int
    output_tokens: int | None
    prefix_hashes: Sequence[int] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """An attempt. Times are seconds since 1970; `first_at` is None where no content came."""

    provider: str
    model: str
    worker: str
    placed_at: float
    ended_at: float
    first_at: float | None = None
    succeeded: bool = True
    reason: str = ""
    uncached_tokens: int = 0
    output_tokens: int = 0


async def asked(dsn: str, models: Sequence[str], *, days: float, most: int) -> list[Asked]:
    """The newest requests for a model, by all its names, oldest first.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: as `ledger.recent`.
    """
    async with reading(dsn) as connection:
        rows = await connection.fetch(_ASKED, list(models), datetime.timedelta(days=days), most)
    return [_asked(row) for row in reversed(rows)]


async def served(dsn: str, providers: Sequence[str], *, days: float, most: int) -> list[Served]:
    """The newest attempts at providers, whichever model was asked for.

    Raises:
        As `asked`.
    """
    async with reading(dsn) as connection:
        rows = await connection.fetch(_SERVED, list(providers), datetime.timedelta(days=days), most)
    return [_served(row) for row in reversed(rows)]


def _asked(row: asyncpg.Record) -> Asked:
    whole = row["outcome"] == "success"
    return Asked(
        at=row["received_at"].timestamp(),
        # What was refused has an estimate and nothing else.
        input_tokens=max(1, row["input_tokens"] or row["estimated_input_tokens"]),
        output_tokens=max(1, row["output_tokens"]) if whole else None,
        prefix_hashes=row["prefix_hashes"],
    )


def _served(row: asyncpg.Record) -> Served:
    first = row["first_content_at"]
    return Served(
        provider=row["provider"],
        model=row["provider_model"],
        worker=row["worker"],
        placed_at=row["placed_at"].timestamp(),
        ended_at=row["ended_at"].timestamp(),
        first_at=None if first is None else first.timestamp(),
        succeeded=row["outcome"] == "success",
        reason=row["error_reason"] or "",
        uncached_tokens=max(0, row["input_tokens"] - row["cached_tokens"]),
        output_tokens=row["output_tokens"],
    )
