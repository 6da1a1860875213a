"""`hybrid usage`: what is asked, and that sums are shown to the last digit."""

import csv
import datetime
import io
import json
from typing import Any

import pytest
from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from services.cli import __main__ as command
from services.cli import usage
from services.cli.money import nano_usd, usd
from services.cli.problem import Problem

NOW = datetime.datetime(2026, 11, 25, 12, 34, 56, tzinfo=datetime.UTC)
ROW = admin.UsageRow(
    values=["team", "2026-11-25"], requests=1234, attempts=1300, input_tokens=10, cached_tokens=1, output_tokens=5,
    reasoning_tokens=2, cost_nano_usd=2**53 + 1,
)  # fmt: skip
REST = admin.UsageRow(values=["", "2026-11-25"], requests=1, cost_nano_usd=1)


def hour(text: str) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=int(datetime.datetime.fromisoformat(text).timestamp()))


def asking(request: admin.QueryUsageRequest) -> list[dict[str, Any]]:
    return usage.ask(lambda _, __: admin.QueryUsageResponse(rows=[ROW, REST]), request)


def test_every_option_is_a_field_of_the_question() -> None:
    asked = usage.question(
        by="key, model", now=NOW, since="2026-11-01", until="2026-11-25T12:00+01:00", key="k", owner="o", model="m",
        provider="p",
    )  # fmt: skip
    assert asked == admin.QueryUsageRequest(
        by=[1, 3], key_id="k", owner="o", model="m", provider="p", until=hour("2026-11-25T11:00Z"),
        **{"from": hour("2026-11-01T00:00Z")},
    )  # fmt: skip
    assert usage.question(by="", now=NOW) == admin.QueryUsageRequest()


def test_a_span_goes_back_to_a_whole_hour_and_a_moment_is_asked_for_as_it_was_given() -> None:
    asked = usage.question(by="", now=NOW, since="7d", until="2026-11-25T12:30Z")
    assert getattr(asked, "from") == hour("2026-11-18T12:00Z")
    assert asked.until == hour("2026-11-25T12:30Z")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "color"}, "--by: `color` is none of key, owner, model, provider, day, hour"),
        ({"by": "", "since": "then"}, "--from: `then` is no moment"),
        ({"by": "", "until": ""}, "--until: `` is no moment"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options: dict[str, str], said: str) -> None:
    with pytest.raises(Problem, match=said):
        usage.question(now=NOW, **options)


def test_sums_are_the_same_to_the_last_digit_as_json_and_as_csv() -> None:
    rows = asking(usage.question(by="owner,day", now=NOW))
    as_json = json.loads(usage.as_json(rows))
    as_csv = list(csv.DictReader(io.StringIO(usage.as_csv(rows, "owner,day"))))
    assert as_json[0]["cost_nano_usd"] == 2**53 + 1
    assert as_json[0]["cost_usd"] == "9007199.254740993"
    assert as_csv == [{name: str(value) for name, value in row.items()} for row in as_json]
    assert list(as_csv[0])[:3] == ["owner", "day", "requests"]


def test_without_rows_csv_has_its_names() -> None:
    assert usage.as_csv([], "key").startswith("key,requests,attempts,input_tokens,")


def test_people_see_the_sum_of_all_below() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(usage.table(asking(usage.question(by="owner,day", now=NOW)), "owner,day"))
    assert isinstance(console.file, io.StringIO)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert lines == [
        "owner day requests attempts in cached out reasoning USD",
        "team 2026-11-25 1,234 1,300 10 1 5 2 9007199.254740993",
        "- 2026-11-25 1 0 0 0 0 0 0.000000001",
        "all 1,235 1,300 10 1 5 2 9007199.254740994",
    ]


def test_the_command_shows_what_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = admin.QueryUsageResponse(rows=[REST])
    monkeypatch.setattr(command, "_asker", lambda *_: lambda *_: answer)
    run = CliRunner().invoke
    assert json.loads(run(command.app, ["usage", "--by", "owner,day", "--json"]).stdout)[0]["requests"] == 1
    assert run(command.app, ["usage", "--by", "owner,day", "--csv"]).stdout.endswith(",1,0.000000001\n")
    assert "0.000000001" in run(command.app, ["usage", "--by", "owner,day"]).stdout


@given(st.integers(0, 10**18))
def test_an_amount_is_read_as_it_was_shown(nano: int) -> None:
    assert nano_usd(usd(nano), "--x") == nano


def test_two_forms_at_once_are_refused() -> None:
    done = CliRunner().invoke(command.app, ["usage", "--csv", "--json"])
    assert isinstance(done.exception, Problem)
    assert str(done.exception) == "--csv and --json: one of them"
