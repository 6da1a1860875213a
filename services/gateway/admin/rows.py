"""Keys in the database's columns, and as the contract shows them."""

import datetime
import json
from typing import Any

import asyncpg
from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import routing_pb2

from services.gateway.admin.keys import CONTENTS, Terms

# In this order they are read and written.
TERMS = (
    *("owner", "name", "labels", "models", "providers", "scopes", "expires_at"),
    *("requests_per_minute", "tokens_per_minute", "concurrency"),
    *("budget_nano_usd_per_day", "budget_nano_usd_per_month"),
    *("criticality", "weight", "content", "content_retention_days", "billing"),
)
_LIMITS = TERMS[7:12]
_POLICIES = {name: number for number, name in CONTENTS.items()}


def values(terms: Terms) -> tuple[Any, ...]:
    """What a key's terms are in the columns of `TERMS`."""
    grant, limits = terms.grant, terms.grant.limits
    return (
        *(grant.owner, terms.name, json.dumps(dict(terms.labels))),
        *(sorted(grant.models), list(grant.providers), sorted(grant.scopes), _moment(grant.expires_at)),
        *(limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency),
        *(limits.usd_per_day, limits.usd_per_month),
        *(grant.criticality, grant.weight, grant.content, grant.content_retention_days),
        "strict" if grant.strict else "relaxed",
    )


def details(terms: Terms) -> dict[str, Any]:
    """What the audit says of a key that was made: its terms, less what was left out."""
    found = dict(zip(TERMS, values(terms), strict=True)) | {"labels": dict(terms.labels)}
    expires = found["expires_at"]
    found["expires_at"] = expires.isoformat() if expires else None
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}


def key_of(row: asyncpg.Record) -> admin.Key:
    """A row of `keys` as the contract shows it."""
    spec = admin.KeySpec(
        owner=row["owner"],
        name=row["name"],
        labels=json.loads(row["labels"]),  # asyncpg hands out jsonb as text
        models=row["models"],
        providers=row["providers"],
        scopes=row["scopes"],
        expires_at=_timestamp(row["expires_at"]),
        criticality=routing_pb2.Criticality.Name(row["criticality"]),
        weight=row["weight"],
        content=_POLICIES[row["content"]],  # type: ignore[arg-type]  # a number of the enumeration
        content_retention_days=row["content_retention_days"],
        billing=admin.BILLING_STRICT if row["billing"] == "strict" else admin.BILLING_RELAXED,
        **{name: row[name] for name in _LIMITS if row[name] is not None},
    )
    return admin.Key(
        key_id=row["key_id"],
        spec=spec,
        created_by=row["created_by"],
        **{
            name: _timestamp(row[name])
            for name in ("created_at", "revoked_at", "rotated_at", "previous_until")
            if row[name] is not None
        },
    )


def _moment(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _timestamp(moment: datetime.datetime | None) -> timestamp_pb2.Timestamp | None:
    if moment is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment)
    return stamp
