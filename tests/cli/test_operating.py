"""The admin service of a home, asked as an operator."""

import asyncio
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.cli import operating
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.state import MeshState
from tests.cli.admins import admins

MESH = MeshState(1, "ready", "", "http://localhost", (), None, (), admin="unix:run/admin.sock")
CREDENTIAL = "ha_root_" + "s" * 43


@pytest.fixture
def place(home: Home) -> Iterator[Home]:
    """A home with a credential; the working directory is what it was afterwards."""
    before = pathlib.Path.cwd()
    (home.path / "admin.key").write_text(f"{CREDENTIAL}\n")
    yield home
    os.chdir(before)


async def asked(home: Home, said: Any, credential: pathlib.Path | None = None) -> tuple[Any, list[Any]]:
    async with admins(home.path, {"RevokeKey": [said]}) as opened:
        request = admin.RevokeKeyRequest(key_id="k")
        answer = await asyncio.to_thread(operating.ask, home, MESH, credential, "RevokeKey", request)
        return answer, opened.asked


async def test_what_is_asked_arrives_with_the_credential_of_the_home(place: Home) -> None:
    said = admin.RevokeKeyResponse(key=admin.Key(key_id="k"))
    answer, heard = await asked(place, said)
    assert answer == said
    assert heard == [("RevokeKey", admin.RevokeKeyRequest(key_id="k"), f"Bearer {CREDENTIAL}")]


async def test_or_with_another_one(place: Home, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other.key"
    other.write_text("ha_other_" + "t" * 43)
    _, heard = await asked(place, admin.RevokeKeyResponse(), other)
    assert heard[0][2] == "Bearer ha_other_" + "t" * 43


@pytest.mark.parametrize(
    ("reason", "code"),
    [(reasons.ERROR_REASON_SPEC_INVALID, 2), (reasons.ERROR_REASON_PERMISSION_DENIED, 1)],
)
async def test_a_refusal_is_told_in_the_services_own_words(place: Home, reason: reasons.ErrorReason, code: int) -> None:
    with pytest.raises(Problem, match=r"^refused: You may not\.$") as refused:
        await asked(place, Failure(reason, "You may not."))
    assert refused.value.code == code


async def test_a_database_that_is_away_is_told_as_what_it_is(place: Home) -> None:
    with pytest.raises(Problem, match="The database does not answer"):
        await asked(place, Failure(reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE, "The database does not answer now."))


def test_a_service_that_is_not_there_is_told_without_the_words_of_the_library(place: Home) -> None:
    with pytest.raises(Problem) as refused:
        operating.ask(place, MESH, None, "RevokeKey", admin.RevokeKeyRequest())
    assert str(refused.value) == "the admin service does not answer; `hybrid status` says what is missing"


def test_a_credential_that_is_not_there_or_none_is_told_by_its_file_and_not_quoted(
    place: Home, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(Problem, match=r"none.key: the operator's credential cannot be read: No such file"):
        operating.ask(place, MESH, tmp_path / "none.key", "RevokeKey", admin.RevokeKeyRequest())
    for content in (b"", b"hi_secret", b"ha_two\nlines", "ha_é".encode()):
        (tmp_path / "bad.key").write_bytes(content)
        with pytest.raises(Problem, match=r"bad\.key holds no operator's credential") as refused:
            operating.ask(place, MESH, tmp_path / "bad.key", "RevokeKey", admin.RevokeKeyRequest())
        assert not content or content.decode() not in str(refused.value)
