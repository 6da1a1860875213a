"""What operators and callers try in order to get more than they were given."""

import json
from typing import Any

import pytest
from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2

from services.chassis.failure import Failure
from services.gateway.identity import credential as credentials
from tests.gateway.admin.office import Office

# The most that `lead` may give.
MOST: dict[str, Any] = {
    "owner": "team",
    "models": ["small"],
    "scopes": ["generate", "models"],
    "budget_nano_usd_per_month": 10 * 10**9,
}
DENIED, INVALID = reasons.ERROR_REASON_PERMISSION_DENIED, reasons.ERROR_REASON_SPEC_INVALID


async def refused(asking: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await asking
    return caught.value


async def test_an_operator_makes_no_key_above_its_ceiling_and_each_attempt_is_written_down(admins: Office) -> None:
    await admins.create("lead", **MOST)
    for fields in (
        *({"owner": owner} for owner in ("others", "Team", "te")),
        *({"models": models} for models in ([], ["big"], ["small", "big"], ["alias"])),
        *({"scopes": scopes} for scopes in ([], ["embed"], ["generate", "explain"])),
        *({"budget_nano_usd_per_month": budget} for budget in (None, 10 * 10**9 + 1)),
        {"criticality": routing_pb2.CRITICALITY_CRITICAL_PLUS},
        {"weight": 1.5},
    ):
        failure = await refused(admins.create("lead", **{**MOST, **fields}))
        assert failure.reason == DENIED
        assert failure.metadata["field"] == f"spec.{next(iter(fields))}"
        [last] = await admins.rows("SELECT * FROM audit ORDER BY at DESC LIMIT 1")
        assert (last["operator"], last["action"], last["outcome"]) == ("lead", "CreateKey", "refused")
        assert json.loads(last["details"])["field"] == failure.metadata["field"]
    assert len(await admins.rows("SELECT FROM keys")) == 1


async def test_what_is_not_in_the_contract_is_not_to_be_had(admins: Office) -> None:
    spec = admin.KeySpec(owner="team").SerializeToString()
    for more in (b"\xa2\x06\x04root", b"\x92\x01\x04root"):  # fields 100 and 18
        data = spec + more
        failure = await refused(admins.ask("CreateKey", bytes((0x0A, len(data))) + data))
        assert failure.reason == INVALID
    assert await admins.written() == [("root", "CreateKey", None, "refused")] * 2
    assert await admins.rows("SELECT FROM keys") == []


async def test_an_operator_sees_and_touches_only_keys_of_its_owners(admins: Office) -> None:
    other = (await admins.create(owner="others")).key.key_id
    seen = await admins.ask("ListKeys", admin.ListKeysRequest(), "lead")
    named = await admins.ask("ListKeys", admin.ListKeysRequest(owner="others"), "lead")
    assert not [*seen.keys, *named.keys]
    nobody = await refused(admins.ask("RevokeKey", admin.RevokeKeyRequest(key_id="z" * 16), "lead"))
    for method, request in (
        ("RevokeKey", admin.RevokeKeyRequest(key_id=other)),
        ("RotateKey", admin.RotateKeyRequest(key_id=other)),
    ):
        failure = await refused(admins.ask(method, request, "lead"))
        # As for a key that there is not.
        assert (failure.reason, failure.message.replace(other, "z" * 16)) == (INVALID, nobody.message)
        assert (await admins.written())[-1] == ("lead", method, other, "refused")
    [row] = await admins.rows("SELECT revoked_at, rotated_at FROM keys")
    assert list(row.values()) == [None, None]


async def test_an_operator_with_a_ceiling_gets_no_secret_of_a_key_that_another_made(admins: Office) -> None:
    wide = (await admins.create("root", owner="team")).key.key_id
    failure = await refused(admins.ask("RotateKey", admin.RotateKeyRequest(key_id=wide), "lead"))
    assert failure.reason == DENIED
    own = (await admins.create("lead", **MOST)).key.key_id
    await admins.ask("RotateKey", admin.RotateKeyRequest(key_id=own), "lead")
    # Ending it gives nobody anything.
    await admins.ask("RevokeKey", admin.RevokeKeyRequest(key_id=wide), "lead")
    kept = {row["key_id"]: row["created_by"] for row in await admins.rows("SELECT key_id, created_by FROM keys")}
    assert kept == {wide: "root", own: "lead"}


async def test_a_callers_key_is_nobody_to_the_admin_service(admins: Office) -> None:
    key = await admins.create()
    for credential in (key.credential, key.credential.replace("hi_", "ha_"), f"ha_root_{key.credential[-43:]}"):
        failure = await refused(
            admins.call("CreateKey", admin.CreateKeyRequest(), (("authorization", f"Bearer {credential}"),))
        )
        assert failure.reason == reasons.ERROR_REASON_CREDENTIAL_INVALID


async def test_an_operators_credential_has_not_the_form_of_a_callers(admins: Office) -> None:
    for name in ("root", "lead", "maker_of-keys.1"):
        assert credentials.of_header(f"Bearer {admins.credential(name)}") is None


INJECTIONS = (
    "'; DROP TABLE keys; --",
    "' OR '1'='1",
    "x', now(), 'root') RETURNING mac; --",
    "\\'; SELECT pg_sleep(9); --",
    "$1::text; TRUNCATE audit",
    '{"a": "b"}\'::jsonb || (SELECT mac FROM keys)::text',
    "%s %(a)s {0} {x}",
)


async def test_sql_in_any_text_is_text(admins: Office) -> None:
    kept = {(await admins.create()).key.key_id}
    for text in INJECTIONS:
        made = await admins.create(owner=text, name=text, labels={text: text})
        assert (made.key.spec.owner, made.key.spec.name, dict(made.key.spec.labels)) == (text, text, {text: text})
        kept.add(made.key.key_id)
        assert len((await admins.ask("ListKeys", admin.ListKeysRequest(owner=text))).keys) == 1
        assert (await refused(admins.ask("QueryUsage", admin.QueryUsageRequest(key_id=text)))).reason == INVALID
        for field in ("owner", "model", "provider"):
            answer = await admins.ask("QueryUsage", admin.QueryUsageRequest(by=[1], **{field: text}))
            assert not answer.rows
        for field in ("models", "providers", "scopes"):
            assert (await refused(admins.create(**{field: [text]}))).reason == INVALID
        for method, request in (
            ("RevokeKey", admin.RevokeKeyRequest(key_id=text)),
            ("RotateKey", admin.RotateKeyRequest(key_id=text)),
            ("ListKeys", admin.ListKeysRequest(page_token=text)),
        ):
            assert (await refused(admins.ask(method, request))).reason == INVALID
    rows = await admins.rows("SELECT key_id, revoked_at FROM keys")
    assert {row["key_id"]: row["revoked_at"] for row in rows} == dict.fromkeys(kept)


async def test_no_text_of_the_contract_reaches_the_database_unchecked(admins: Office) -> None:
    """What PostgreSQL itself would refuse, everywhere: none of it is a crash."""
    nul = "a\x00b"
    for method, request in (
        *(("CreateKey", admin.CreateKeyRequest(spec=admin.KeySpec(owner="o", **{f: nul}))) for f in ("name",)),
        ("CreateKey", admin.CreateKeyRequest(spec=admin.KeySpec(owner=nul))),
        ("CreateKey", admin.CreateKeyRequest(spec=admin.KeySpec(owner="o", labels={nul: "", "b": nul}))),
        ("ListKeys", admin.ListKeysRequest(owner=nul)),
        ("ListKeys", admin.ListKeysRequest(page_token=nul)),
        ("ListKeys", admin.ListKeysRequest(page_size=-1)),
        ("ListKeys", admin.ListKeysRequest(page_size=1001)),
        ("RevokeKey", admin.RevokeKeyRequest(key_id=nul)),
        ("RotateKey", admin.RotateKeyRequest(key_id=nul)),
        *(("QueryUsage", admin.QueryUsageRequest(**{f: nul})) for f in ("key_id", "owner", "model", "provider")),
        *(
            ("QueryUsage", admin.QueryUsageRequest(until=timestamp_pb2.Timestamp(seconds=s)))
            for s in (3600 * 10**14, -3600 * 10**14, 1, -(2**63))
        ),
        *(("QueryUsage", admin.QueryUsageRequest(by=by)) for by in ([0], [7], [1, 1])),
    ):
        assert (await refused(admins.ask(method, request))).reason == INVALID, (method, request)
