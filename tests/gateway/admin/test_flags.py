"""Who turned a flag on, and when, is in the audit."""

import asyncio
import datetime
import json
import pathlib
from typing import Any

from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.config.flags import Flags
from services.config.mesh import MeshConfig
from services.gateway.admin import flags
from services.gateway.admin.flags import Noting, Saying
from tests.gateway.admin.office import Office

MESH: dict[str, Any] = {
    "providers": {"a": {"kind": "echo"}},
    "models": [{"name": "m", "routes": [{"provider": "a"}]}],
}


async def test_a_flag_that_changes_is_written_down_once_with_whose_file_it_was(admins: Office) -> None:
    usual = flags.plain(Flags())
    at = datetime.datetime(2026, 11, 26, 1, 2, 3, tzinfo=datetime.UTC)
    on = flags.plain(Flags.model_validate({"hedging": {"share": 0.5, "keys": ["a" * 16]}}))
    for said in (usual, on, on, usual):
        await admins.store.note_flags(Saying(said, "file:ann", at, "v"), usual)
    rows = await admins.rows("SELECT operator, action, details FROM audit ORDER BY at, audit_id")
    told = [json.loads(row["details"]) for row in rows]
    assert [(row["operator"], row["action"]) for row in rows] == [("file:ann", "SetFlag")] * 2
    assert [(each["flag"], each["before"]["share"], each["after"]["share"]) for each in told] == [
        ("hedging", 0.0, 0.5),
        ("hedging", 0.5, 0.0),
    ]
    admins.servicer.flags = usual
    listed = (await admins.ask("ListFlags", admin.ListFlagsRequest(), "reader")).flags
    assert [(each.name, each.share, each.changed_by) for each in listed] == [
        ("continuation", 1.0, ""),
        ("hedging", 0.0, "file:ann"),
    ]
    assert listed[1].changed_at.ToDatetime(datetime.UTC) == at


async def test_a_change_of_flags_is_written_down_as_soon_as_the_database_is_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("")
    noted: asyncio.Queue[Saying] = asyncio.Queue()
    away = [True]

    async def note(said: Saying) -> None:
        if away.pop():
            away.append(False)
            raise Failure(reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE, "away")
        away.append(False)
        noted.put_nowait(said)

    first = flags.saying(MeshConfig.model_validate(MESH), path)
    assert first.by.startswith("file:")
    following = asyncio.create_task(Noting(note, first).follow())
    async with asyncio.timeout(30):
        assert await noted.get() == first
    following.cancel()
