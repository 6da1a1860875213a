"""A key as the database has it, and what a credential is worth beside it."""

import dataclasses
import datetime
import hmac
from collections.abc import Mapping
from typing import Any, Literal, get_args

from services.gateway.identity.grant import Grant, Limits

# `bounded`: nothing is left of it below the ceiling of whoever made it. `unverifiable` is no fault of the caller's: the
# pepper is missing that it was stored under.
Verdict = Literal["accepted", "unknown", "wrong", "revoked", "expired", "bounded", "unverifiable"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

COLUMNS = (
    "key_id, mac, pepper_id, previous_mac, previous_pepper_id, previous_until, owner, models, providers, scopes,"
    " expires_at, requests_per_minute, tokens_per_minute, concurrency, budget_nano_usd_per_day,"
    " budget_nano_usd_per_month, criticality, weight, content, content_retention_days, billing, created_by, revoked_at,"
    " changed_at"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """What one secret of a key comes to.

    Attributes:
        pepper_id: the pepper that it is hashed under.
        mac: the HMAC, 32 bytes.
        until: seconds since 1970 until which it is taken.
    """

    pepper_id: str
    mac: bytes = dataclasses.field(repr=False)
    until: float


@dataclasses.dataclass(frozen=True, slots=True)
class StoredKey:
    """One row of `keys`.

    Attributes:
        grant: what it may do, whoever made it.
        created_by: the operator who made it.
        current: of its secret.
        previous: of the secret before its last rotation; one that nothing proves where there is none.
        changed_at: when anything of it changed last, by the database's clock.
    """

    grant: Grant
    created_by: str
    current: Proof
    previous: Proof
    revoked: bool
    changed_at: datetime.datetime


_FOREVER = float("inf")
_NOTHING = Proof(pepper_id="", mac=bytes(32), until=-_FOREVER)
# Stands in for a key that there is not, so that looking at it takes as long.
_NOBODY = StoredKey(
    grant=Grant(key_id="", owner=""),
    created_by="",
    current=_NOTHING,
    previous=_NOTHING,
    revoked=True,
    changed_at=datetime.datetime(1, 1, 1, tzinfo=datetime.UTC),
)
_NO_MAC = b"\xff" * 32


def of_row(row: Mapping[str, Any]) -> StoredKey:
    """The key in a row of `COLUMNS`."""
    grant = Grant(
        key_id=row["key_id"],
        owner=row["owner"],
        models=frozenset(row["models"]),
        providers=tuple(row["providers"]),
        scopes=frozenset(row["scopes"]),
        expires_at=_seconds(row["expires_at"]),
        limits=Limits(
            requests_per_minute=row["requests_per_minute"],
            tokens_per_minute=row["tokens_per_minute"],
            concurrency=row["concurrency"],
            usd_per_day=row["budget_nano_usd_per_day"],
            usd_per_month=row["budget_nano_usd_per_month"],
        ),
        criticality=row["criticality"],
        weight=row["weight"],
        content=row["content"],
        content_retention_days=row["content_retention_days"],
        strict=row["billing"] == "strict",
    )
    previous = _NOTHING
    if row["previous_mac"] is not None and row["previous_until"] is not None:
        until = row["previous_until"].timestamp()
        previous = Proof(row["previous_pepper_id"] or "", row["previous_mac"], until)
    current = Proof(row["pepper_id"], row["mac"], _FOREVER)
    return StoredKey(grant, row["created_by"], current, previous, row["revoked_at"] is not None, row["changed_at"])


def judged(stored: StoredKey | None, macs: Mapping[str, bytes], now: float) -> Verdict:
    """What a credential is worth. Costs the same whatever it is.

    Args:
        stored: the key of its id; None is none.
        macs: what the credential comes to under each pepper, by the pepper's id.
        now: seconds since 1970.
    """
    key = stored or _NOBODY
    current = _proves(key.current, macs, now)
    previous = _proves(key.previous, macs, now)
    if stored is None:
        return "unknown"
    if not (current or previous):
        return "wrong" if key.current.pepper_id in macs else "unverifiable"
    if key.revoked:
        return "revoked"
    if key.grant.expires_at is not None and key.grant.expires_at <= now:
        return "expired"
    return "accepted"


def _proves(proof: Proof, macs: Mapping[str, bytes], now: float) -> bool:
    same = hmac.compare_digest(macs.get(proof.pepper_id, _NO_MAC), proof.mac)
    return same and now < proof.until and proof.pepper_id in macs


def _seconds(at: datetime.datetime | None) -> float | None:
    return None if at is None else at.timestamp()
