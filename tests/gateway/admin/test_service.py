"""Keys are made, shown, revoked and rotated, over a real database; each act and each refusal is written down."""

import datetime
import json
import pathlib
import secrets
from typing import Any

import pytest
from google.protobuf import duration_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin

from services.chassis.failure import Failure
from services.gateway.identity import credential as credentials
from services.gateway.identity.peppers import Peppers
from tests.gateway.admin.office import PEPPERS, Office, office

NOBODY = "a" * 16


def proves(peppers: Peppers, credential: str, row: dict[str, Any], which: str = "") -> bool:
    """Whether a credential is the one that a row of `keys` was made with."""
    parsed = credentials.parse(credential)
    assert parsed
    macs = peppers.macs(parsed)
    return macs.get(row[f"{which}pepper_id"]) == row[f"{which}mac"]


async def refused(asking: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await asking
    return caught.value


async def test_a_key_is_made_shown_and_revoked_and_each_step_is_written_down(admins: Office) -> None:
    made = await admins.create(name="n", labels={"a": "b"}, models=["alias"], requests_per_minute=5)
    key_id = made.key.key_id
    assert made.credential.startswith(f"hi_{key_id}_")
    assert (made.key.created_by, made.key.spec.owner, list(made.key.spec.models)) == ("root", "team", ["big"])
    listed = await admins.ask("ListKeys", admin.ListKeysRequest())
    assert list(listed.keys) == [made.key]
    revoked = await admins.ask("RevokeKey", admin.RevokeKeyRequest(key_id=key_id))
    assert revoked.key.HasField("revoked_at")
    again = await admins.ask("RevokeKey", admin.RevokeKeyRequest(key_id=key_id))
    assert again.key.revoked_at == revoked.key.revoked_at
    assert not (await admins.ask("ListKeys", admin.ListKeysRequest())).keys
    ended = await admins.ask("ListKeys", admin.ListKeysRequest(include_ended=True))
    assert list(ended.keys) == [again.key]
    acts = ("CreateKey", key_id), ("ListKeys", None), ("RevokeKey", key_id), ("RevokeKey", key_id)
    assert (await admins.written())[:4] == [("root", act, key, "done") for act, key in acts]
    [audit] = await admins.rows("SELECT details FROM audit WHERE action = 'CreateKey'")
    said = json.loads(audit["details"])
    assert said["models"] == ["big"]
    assert said["requests_per_minute"] == 5
    assert "expires_at" not in said


async def test_a_change_moves_the_time_by_which_gateways_notice(admins: Office) -> None:
    key_id = (await admins.create()).key.key_id
    times = []
    for step in (None, admin.RotateKeyRequest(key_id=key_id), admin.RevokeKeyRequest(key_id=key_id)):
        if step is not None:
            await admins.ask(type(step).__name__.removesuffix("Request"), step)
        [row] = await admins.rows("SELECT changed_at FROM keys")
        times.append(row["changed_at"])
    assert times == sorted(set(times))


async def test_with_grace_both_secrets_are_taken_until_it_ends_and_without_only_the_new(admins: Office) -> None:
    first = await admins.create()
    key_id = first.key.key_id
    grace = duration_pb2.Duration(seconds=3600)
    second = await admins.ask("RotateKey", admin.RotateKeyRequest(key_id=key_id, grace=grace))
    assert second.credential.startswith(f"hi_{key_id}_")
    [row] = await admins.rows("SELECT *, now() AS now FROM keys")
    assert proves(PEPPERS, second.credential, row)
    assert proves(PEPPERS, first.credential, row, "previous_")
    left = row["previous_until"] - row["now"]
    assert datetime.timedelta(minutes=59) < left <= datetime.timedelta(hours=1)
    assert second.key.previous_until.ToDatetime(tzinfo=datetime.UTC) == row["previous_until"]
    third = await admins.ask("RotateKey", admin.RotateKeyRequest(key_id=key_id))
    [row] = await admins.rows("SELECT * FROM keys")
    assert proves(PEPPERS, third.credential, row)
    assert (row["previous_mac"], row["previous_pepper_id"], row["previous_until"]) == (None, None, None)


async def test_a_revoked_key_keeps_no_second_secret_and_is_not_rotated_back_to_life(admins: Office) -> None:
    key_id = (await admins.create()).key.key_id
    grace = duration_pb2.Duration(seconds=3600)
    await admins.ask("RotateKey", admin.RotateKeyRequest(key_id=key_id, grace=grace))
    await admins.ask("RevokeKey", admin.RevokeKeyRequest(key_id=key_id))
    [row] = await admins.rows("SELECT previous_mac FROM keys")
    assert row["previous_mac"] is None
    failure = await refused(admins.ask("RotateKey", admin.RotateKeyRequest(key_id=key_id)))
    assert "has ended; make another" in failure.message
    assert (await admins.written())[-1] == ("root", "RotateKey", key_id, "refused")


async def test_a_new_secret_is_stored_under_the_first_pepper(directory: pathlib.Path, dsn: str) -> None:
    async with office(directory, dsn) as before:
        old = await before.create()
    rotated = Peppers.of([secrets.token_bytes(32), *PEPPERS.secrets.values()])
    async with office(directory, dsn, peppers=rotated) as after:
        new = await after.create()
        found = {row["key_id"]: row for row in await after.rows("SELECT * FROM keys")}
    assert proves(rotated, new.credential, found[new.key.key_id])
    assert found[new.key.key_id]["pepper_id"] == next(iter(rotated.secrets))
    assert proves(rotated, old.credential, found[old.key.key_id])
    assert not proves(Peppers.of([b"x" * 32]), new.credential, found[new.key.key_id])


async def test_pages_hold_every_key_once_newest_first(admins: Office) -> None:
    made = [(await admins.create(name=str(number))).key.key_id for number in range(5)]
    await admins.create("root", owner="others")
    found: list[str] = []
    token = ""
    while True:
        page = await admins.ask("ListKeys", admin.ListKeysRequest(owner="team", page_size=2, page_token=token))
        found += [key.key_id for key in page.keys]
        token = page.next_page_token
        if not token:
            break
    assert found == made[::-1]


async def test_a_secret_is_shown_once_and_is_nowhere_else(admins: Office, capsys: pytest.CaptureFixture[str]) -> None:
    made = await admins.create(name="canary")
    rotated = await admins.ask("RotateKey", admin.RotateKeyRequest(key_id=made.key.key_id))
    # Whoever gives it by mistake has not given it to the log.
    await refused(admins.ask("RevokeKey", admin.RevokeKeyRequest(key_id=rotated.credential)))
    await refused(admins.ask("RotateKey", admin.RotateKeyRequest(key_id=made.credential)))
    await refused(admins.ask("QueryUsage", admin.QueryUsageRequest(key_id=rotated.credential)))
    listed = await admins.ask("ListKeys", admin.ListKeysRequest(include_ended=True))
    tables = await admins.rows("SELECT to_jsonb(k) AS held FROM keys k UNION ALL SELECT to_jsonb(a) FROM audit a")
    said = "\n".join((str(listed), *(row["held"] for row in tables), *capsys.readouterr()))
    assert "canary" in said
    assert "admin.acted" in said
    for credential in (made.credential, rotated.credential, admins.credential("root"), admins.credential("lead")):
        assert credential[-43:] not in said
    [row] = await admins.rows("SELECT * FROM keys")
    assert {len(row["mac"]), len(set(row["mac"]) - {0}) > 8} == {32, True}
