"""The ledger's tables as the loader fills them: where rows are staged, and the statements that take them from there.

Two loaders never wait for each other in a circle: each comes to the tables in the order of `TABLES` and then of `SUMS`,
and to the rows of one in the order of its key.
"""

import dataclasses
from collections.abc import Sequence

from services.gateway.loader.rows import ATTEMPT_COLUMNS, CONTENT_COLUMNS, PRICE_COLUMNS, REQUEST_COLUMNS

_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table, and the one that its rows are copied to before.

    Attributes:
        name: the table.
        columns: those that are copied.
        staged_as: those of the staging table, in SQL; there are no constraints, so COPY takes any row.
        insert: what moves the new ones among them on, and no others.
    """

    name: str
    columns: Sequence[str]
    staged_as: str
    insert: str

    @property
    def staging(self) -> str:
        """The staging table's name."""
        return f"staged_{self.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class Sums:
    """Sums by the hour of one table's rows.

    Attributes:
        name: the table.
        of: the table whose rows are summed.
        keys: the key, with what each part is in a row.
        count: the column that counts rows.
    """

    name: str
    of: str
    keys: dict[str, str]
    count: str

    @property
    def staging(self) -> str:
        """Where the sums of what was new in this transaction are."""
        return f"staged_{self.name}"

    @property
    def staged_as(self) -> str:
        """The staging table's columns, in SQL."""
        return f"SELECT * FROM {self.name}"  # noqa: S608

    @property
    def add(self) -> str:
        """The statement that adds them to the others. Its rows are locked until the commit, so it comes last."""
        sums = ", ".join(f"{column} = known.{column} + excluded.{column}" for column in self._sums())
        return (
            f"INSERT INTO {self.name} AS known ({', '.join((*self.keys, *self._sums()))}) "  # noqa: S608
            f"SELECT {', '.join((*self.keys, *self._sums()))} FROM {self.staging} ORDER BY {', '.join(self.keys)} "
            f"ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET {sums}"
        )

    def of_new(self, insert: str) -> str:
        """The statement that inserts rows and sums those that were new."""
        sums = ", ".join(f"sum({column})" for column in (*_TOKENS, "cost_nano_usd"))
        return (
            f"WITH new AS ({insert} RETURNING *) "  # noqa: S608
            f"INSERT INTO {self.staging} ({', '.join((*self.keys, *self._sums()))}) "
            f"SELECT {', '.join(self.keys.values())}, count(*), {sums} FROM new "
            f"GROUP BY {', '.join(str(number + 1) for number in range(len(self.keys)))}"
        )

    def _sums(self) -> tuple[str, ...]:
        return (self.count, *_TOKENS, "cost_nano_usd")


def _insert(name: str, columns: Sequence[str], key: str) -> str:
    # All names are this package's own, not data.
    names = ", ".join(columns)
    return (
        f"INSERT INTO {name} ({names}) SELECT {names} FROM staged_{name} ORDER BY {key} "  # noqa: S608
        "ON CONFLICT DO NOTHING"
    )


SUMS = (
    Sums(
        "requests_hourly",
        of="requests",
        keys={
            "hour": "date_trunc('hour', received_at, 'UTC')",
            "key_id": "key_id",
            "owner": "owner",
            # A name that nobody configured is a caller's invention, and so may be one that nobody got to look up.
            "model": "CASE WHEN error_reason IN ('MODEL_NOT_FOUND', 'ROUTER_UNAVAILABLE') "
            "OR provider IS NULL AND outcome IN ('cancelled', 'deadline', 'abandoned') THEN '' ELSE model END",
            "provider": "coalesce(provider, '')",
            "outcome": "outcome",
        },
        count="requests",
    ),
    Sums(
        "attempts_hourly",
        of="attempts",
        keys={
            "hour": "date_trunc('hour', placed_at, 'UTC')",
            **{name: name for name in ("key_id", "owner", "model", "provider", "provider_model", "kind", "outcome")},
        },
        count="attempts",
    ),
)
_REQUEST_SUMS, _ATTEMPT_SUMS = SUMS

TABLES = (
    Table(
        "prices",
        PRICE_COLUMNS,
        f"SELECT {', '.join(PRICE_COLUMNS)} FROM prices",  # noqa: S608
        _insert("prices", PRICE_COLUMNS, "version, provider, provider_model, above_input_tokens"),
    ),
    Table(
        "contents",
        CONTENT_COLUMNS,
        f"SELECT {', '.join(CONTENT_COLUMNS[:-1])}, 0 AS retention_days FROM contents",  # noqa: S608
        f"INSERT INTO contents ({', '.join(CONTENT_COLUMNS[:-1])}, keep_until) "  # noqa: S608
        f"SELECT {', '.join(CONTENT_COLUMNS[:-1])}, now() + retention_days * interval '1 day' "
        "FROM staged_contents ORDER BY generation_id ON CONFLICT DO NOTHING",
    ),
    Table(
        "requests",
        REQUEST_COLUMNS,
        f"SELECT {', '.join(REQUEST_COLUMNS)} FROM requests",  # noqa: S608
        _REQUEST_SUMS.of_new(_insert("requests", REQUEST_COLUMNS, "generation_id")),
    ),
    Table(
        "attempts",
        ATTEMPT_COLUMNS,
        f"SELECT {', '.join(ATTEMPT_COLUMNS)} FROM attempts",  # noqa: S608
        _ATTEMPT_SUMS.of_new(_insert("attempts", ATTEMPT_COLUMNS, "attempt_id")),
    ),
)

# Temporary: never in the write-ahead log, and gone with the connection.
STAGING = "; ".join(
    f"CREATE TEMPORARY TABLE {one.staging} ON COMMIT DELETE ROWS AS {one.staged_as} WITH NO DATA"
    for one in (*TABLES, *SUMS)
)
