"""Which keys may be had: each field of a spec."""

import datetime
from typing import Any

import pytest
from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.config.access import Ceiling
from services.gateway.admin import keys, rows
from services.gateway.identity.grant import Grant, Limits
from tests.gateway.admin.office import KNOWN

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
DAY = 86_400


def checked(**fields: Any) -> keys.Terms:
    return keys.checked(admin.KeySpec(**{"owner": "o", **fields}), KNOWN, now=NOW)


def at(seconds: float) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(NOW + datetime.timedelta(seconds=seconds))
    return stamp


def test_an_owner_is_all_that_a_key_needs_and_the_rest_is_the_cautious_default() -> None:
    assert checked() == keys.Terms(Grant(key_id="", owner="o", strict=True, content="none"), "", {})


def test_every_field_of_a_spec_arrives_where_it_belongs() -> None:
    terms = checked(
        name="n", labels={"b": "2", "a": "1"}, models=["small", "alias", "small"], providers=["vendor", "local"],
        scopes=["generate"], expires_at=at(DAY), requests_per_minute=1, tokens_per_minute=2, concurrency=3,
        budget_nano_usd_per_day=0, budget_nano_usd_per_month=5, criticality=2, weight=0.5,
        content=admin.CONTENT_POLICY_STORED, content_retention_days=7, billing=admin.BILLING_RELAXED,
    )  # fmt: skip
    assert terms.grant == Grant(
        key_id="", owner="o", models=frozenset(("small", "big")), providers=("local", "vendor"),
        scopes=frozenset(("generate",)), expires_at=NOW.timestamp() + DAY, limits=Limits(1, 2, 3, 0, 5), criticality=2,
        weight=0.5, content="stored", content_retention_days=7, strict=False,
    )  # fmt: skip
    assert (terms.name, terms.labels) == ("n", {"a": "1", "b": "2"})
    # A field that is new to the contract has to be looked at here, too.
    covered = {field.name for field in admin.KeySpec.DESCRIPTOR.fields}
    assert covered == set(rows.TERMS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owner", ""), ("owner", " o"), ("owner", "a\nb"), ("owner", "a\x00b"), ("owner", "\u202eo"),
        ("owner", "x" * 129),
        ("name", "a\x1b[31m"), ("name", "x" * 201),
        ("labels", {"": "v"}), ("labels", {"k": "a\x00"}), ("labels", {str(n): "" for n in range(65)}),
        ("models", ["none"]), ("models", ["Small"]), ("models", ["small"] * 1001), ("providers", ["big"]),
        ("scopes", ["admin"]), ("scopes", ["keys"]), ("scopes", [""]),
        ("expires_at", at(0)), ("expires_at", at(-1)), ("expires_at", timestamp_pb2.Timestamp(seconds=1 << 60)),
        ("requests_per_minute", 0), ("requests_per_minute", -1), ("tokens_per_minute", 10**15 + 1), ("concurrency", -5),
        ("budget_nano_usd_per_day", -1), ("budget_nano_usd_per_month", 10**18 + 1),
        ("criticality", 99), ("weight", -1.0), ("weight", float("nan")), ("weight", float("inf")), ("weight", 1e-9),
        ("content", 99), ("content_retention_days", 3651), ("billing", 99),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(Failure) as refused:
        checked(**{field: value})
    assert refused.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    assert refused.value.metadata["field"].startswith(f"spec.{field}")
    assert f"spec.{field}" in refused.value.message


def test_a_field_that_is_not_known_here_is_refused_rather_than_left_out() -> None:
    newer = b"\xa2\x06\x04wide"  # field 100
    inside = at(DAY).SerializeToString() + newer
    expiry = bytes((6 << 3 | 2, len(inside))) + inside
    for more in (newer, expiry):
        data = admin.KeySpec(owner="o").SerializeToString() + more
        with pytest.raises(Failure, match="has a field that this version does not know"):
            keys.checked(admin.KeySpec.FromString(data), KNOWN, now=NOW)


@pytest.mark.parametrize(
    ("ceiling", "field", "allowed"),
    [
        (Ceiling(owners=("a", "b")), "owner", "owners a, b"),
        (Ceiling(owners=()), "owner", "owners none"),
        (Ceiling(models=("small",)), "models", "models small, by name"),
        (Ceiling(scopes=("models",)), "scopes", "scopes models, by name"),
        (Ceiling(budget_usd_per_month=2.5), "budget_nano_usd_per_month", "at most 2500000000 nano-USD"),
    ],
)
def test_a_grant_above_the_ceiling_of_its_maker_is_refused_and_what_may_be_given_is_said(
    ceiling: Ceiling, field: str, allowed: str
) -> None:
    with pytest.raises(Failure, match=allowed) as refused:
        keys.require_within(checked().grant, ceiling)
    assert refused.value.reason == reasons.ERROR_REASON_PERMISSION_DENIED
    assert refused.value.metadata["field"] == f"spec.{field}"


def test_a_name_that_the_mesh_does_not_have_is_said() -> None:
    with pytest.raises(Failure, match=r"`spec.models\[1\]` is not one that the mesh has: 'smal'\."):
        checked(models=["small", "smal"])
