"""`hybrid keys`: what is asked of the admin service, and how its answers are shown."""

import datetime
import io
import json
from typing import Any

import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from rich.console import Console
from typer.testing import CliRunner

from services.cli import __main__ as command
from services.cli import keys
from services.cli.home import Home
from services.cli.problem import Problem

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)
KEY = admin.Key(
    key_id="k" * 16,
    spec=admin.KeySpec(
        owner="team",
        name="n\x1b[31m",
        labels={"a": "b"},
        models=["m"],
        requests_per_minute=5,
        budget_nano_usd_per_month=10**10 + 1,
        weight=1.0,
        content=admin.CONTENT_POLICY_HASHED,
        content_retention_days=30,
        billing=admin.BILLING_STRICT,
        expires_at=timestamp_pb2.Timestamp(seconds=int(NOW.timestamp()) + 60),
    ),
    created_by="root",
    created_at=timestamp_pb2.Timestamp(seconds=int(NOW.timestamp())),
)


class Asked:
    """Answers in order, and keeps what was asked."""

    def __init__(self, *said: Any) -> None:
        self.said = list(said)
        self.heard: list[tuple[str, Any]] = []

    def __call__(self, method: str, request: Any) -> Any:
        self.heard.append((method, request))
        return self.said.pop(0)


def test_every_option_is_a_field_of_the_spec() -> None:
    made = keys.spec(
        owner="o", now=NOW, name="n", models=["m"], providers=["p"], scopes=["generate"], labels=["a=b=c", "d="],
        expires="30d", rpm=1, tpm=2, concurrency=3, budget_usd_day="0.1", budget_usd_month="12.000000001",
        criticality="sheddable-plus", weight=2.5, content="redacted", retention_days=7, billing="relaxed",
    )  # fmt: skip
    assert made == admin.KeySpec(
        owner="o", name="n", labels={"a": "b=c", "d": ""}, models=["m"], providers=["p"], scopes=["generate"],
        expires_at=timestamp_pb2.Timestamp(seconds=int(NOW.timestamp()) + 30 * 86_400), requests_per_minute=1,
        tokens_per_minute=2, concurrency=3, budget_nano_usd_per_day=100_000_000,
        budget_nano_usd_per_month=12_000_000_001, criticality=2, weight=2.5, content=admin.CONTENT_POLICY_REDACTED,
        content_retention_days=7, billing=admin.BILLING_RELAXED,
    )  # fmt: skip
    assert {field.name for field, _ in made.ListFields()} == {field.name for field in made.DESCRIPTOR.fields}


def test_what_is_not_said_is_not_asked_for() -> None:
    assert keys.spec(owner="o", now=NOW) == admin.KeySpec(owner="o", billing=admin.BILLING_STRICT)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": ["a"]}, "--label: `a` is no label"),
        ({"expires": "soon"}, "--expires: `soon` is no moment"),
        ({"expires": "999999w"}, "--expires: `999999w` is no moment"),
        ({"budget_usd_day": "1e-10"}, "--budget-usd-day: `1e-10` is no amount"),
        ({"budget_usd_month": "-1"}, "--budget-usd-month: `-1` is no amount"),
        ({"budget_usd_month": "nan"}, "`nan` is no amount"),
        ({"budget_usd_month": "1e999999999"}, "is no amount"),
        ({"content": "all"}, "--content: `all` is none of none, hashed, redacted, stored"),
        ({"billing": "none"}, "--billing: `none` is none of strict, relaxed"),
        ({"criticality": "top"}, "--criticality: `top` is none of"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said) as refused:
        keys.spec(owner="o", now=NOW, **options)
    assert refused.value.code == 2


def test_every_page_is_shown() -> None:
    ask = Asked(
        admin.ListKeysResponse(keys=[KEY], next_page_token="t"), admin.ListKeysResponse(keys=[admin.Key(key_id="x")])
    )
    assert [key.key_id for key in keys.every(ask, owner="o", ended=True)] == [KEY.key_id, "x"]
    assert [(request.owner, request.include_ended, request.page_token) for _, request in ask.heard] == [
        ("o", True, ""),
        ("o", True, "t"),
    ]


def test_grace_is_asked_for_only_where_it_was() -> None:
    ask = Asked(admin.RotateKeyResponse(), admin.RotateKeyResponse())
    keys.rotate(ask, "k", None)
    keys.rotate(ask, "k", datetime.timedelta(hours=24))
    requests = [request for _, request in ask.heard]
    assert not requests[0].HasField("grace")
    assert requests[1].grace == duration_pb2.Duration(seconds=86_400)


@pytest.mark.parametrize("text", ["a" * 16, "hi_" + "a" * 16, "hi_" + "a" * 16 + "_" + "s_" * 21 + "s"])
def test_a_key_that_was_found_somewhere_is_revoked_as_it_was_found_and_its_secret_not_sent(text: str) -> None:
    ask = Asked(admin.RevokeKeyResponse())
    keys.revoke(ask, text)
    assert ask.heard == [("RevokeKey", admin.RevokeKeyRequest(key_id="a" * 16))]


def test_keys_are_shown_with_what_they_may_and_without_escape_sequences() -> None:
    console = Console(file=io.StringIO(), width=200)
    revoked = admin.Key(key_id="r" * 16, revoked_at=KEY.created_at)
    console.print(keys.table([KEY, revoked], now=NOW))
    assert isinstance(console.file, io.StringIO)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert lines[1] == (
        "kkkkkkkkkkkkkkkk team n\ufffd[31m 2026-11-25 12:00 root until 2026-11-25 12:01 "
        "models m; 5/min; 10.000000001 USD/month; content hashed"
    )
    assert "revoked everything" in lines[2]


def test_a_key_for_programs_has_exact_amounts() -> None:
    told = keys.plain(KEY)
    assert (told["budget_usd_per_month"], told["budget_usd_per_day"]) == ("10.000000001", None)
    assert (told["expires_at"], told["revoked_at"]) == ("2026-11-25T12:01:00.000000+00:00", None)
    assert (told["content"], told["billing"], told["criticality"]) == ("hashed", "strict", "critical")
    json.dumps(told)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the admin service of the commands says."""
    made = Asked()
    monkeypatch.setattr(command, "_asker", lambda *_: made)
    return made


def test_a_new_credential_is_alone_on_standard_output(said: Asked) -> None:
    said.said = [
        admin.CreateKeyResponse(key=KEY, credential="hi_k_new"),
        admin.RotateKeyResponse(key=KEY, credential="hi_k_newer"),
    ]
    made = CliRunner().invoke(command.app, ["keys", "create", "--owner", "team"])
    assert (made.exit_code, made.stdout) == (0, "hi_k_new\n")
    assert KEY.key_id in made.stderr
    assert "hi_k_new" not in made.stderr
    rotated = CliRunner().invoke(command.app, ["keys", "rotate", "k", "--grace", "24h"])
    assert (rotated.exit_code, rotated.stdout) == (0, "hi_k_newer\n")


def test_for_programs_it_comes_with_the_key(said: Asked) -> None:
    said.said = [admin.CreateKeyResponse(key=KEY, credential="hi_k_new")]
    made = CliRunner().invoke(command.app, ["keys", "create", "--owner", "team", "--json"])
    assert json.loads(made.stdout) == {"credential": "hi_k_new", **keys.plain(KEY)}


def test_no_key_is_an_empty_list_and_no_line_on_standard_output(said: Asked) -> None:
    said.said = [admin.ListKeysResponse()] * 3
    assert json.loads(CliRunner().invoke(command.app, ["keys", "list", "--json"]).stdout) == []
    valid, every = (CliRunner().invoke(command.app, ["keys", "list", *more]) for more in ([], ["--all"]))
    assert valid.stdout == every.stdout == ""
    assert "`--all` shows those that have ended" in valid.stderr
    assert "--all" not in every.stderr


def test_keys_of_a_mesh_that_does_not_run_are_not_made(home: Home) -> None:
    made = CliRunner().invoke(command.app, ["keys", "create", "--owner", "o", "--home", str(home.path)])
    assert isinstance(made.exception, Problem)
    assert "no mesh is running" in str(made.exception)
