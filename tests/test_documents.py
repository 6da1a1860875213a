"""The documents tell the truth: what they name exists, and what they list is complete."""

import asyncio
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
from typing import Any, Literal, cast, get_args

import pydantic
import pytest
import typer
import yaml
from google.rpc import code_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import placement_pb2
from hybridinference.worker.v1 import session_pb2

from services.chassis import config, register
from services.chassis.channel import open_channel
from services.cli.__main__ import app
from services.cli.verify.client import Client
from services.cli.verify.feature import verdict
from services.cli.verify.features import FEATURES
from services.config import mesh, provider
from services.config import strategy as strategies
from services.router.observer import NullObserver
from services.router.request import Request
from services.router.roster import Roster
from services.router.simulator.__main__ import app as simulator
from services.workers import echo
from tests import fakes
from tests.contract import subject
from tests.contract.faults import FAULTS
from tests.metrics import register as metrics

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "examples" / "README.md",
]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
EACH = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# What a path in the repository begins with.
TOP = r"(?:\.ci|benchmarks|bin|docs|examples|gen|infrastructure|protos|requirements|services|tests)"


def text_of(document: pathlib.Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(document: pathlib.Path, language: str) -> list[str]:
    return [body for found, body in FENCED.findall(text_of(document)) if found == language]


def commands(document: pathlib.Path) -> list[str]:
    """What is written as code in running text, and the lines of blocks that show commands."""
    prose = FENCED.sub("", text_of(document))
    indented = [line.strip() for line in prose.splitlines() if line.startswith("    ")]
    return re.findall(r"`([^`\n]+)`", prose) + indented


def spans(document: pathlib.Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", FENCED.sub("", text_of(document)))


@EACH
def test_every_relative_link_leads_somewhere(document: pathlib.Path) -> None:
    for target in LINK.findall(FENCED.sub("", text_of(document))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", text_of(file), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
            assert heading in slugs, target


@EACH
def test_every_path_that_is_named_exists(document: pathlib.Path) -> None:
    for span in spans(document):
        # Only what is a path as a whole; `<name>` stands for something of the reader's.
        if re.fullmatch(rf"{TOP}(/[\w.-]+)*/?", span):
            assert (ROOT / span).exists(), span


@EACH
def test_every_module_that_is_named_exists(document: pathlib.Path) -> None:
    for name in re.findall(r"`((?:services|hybridinference\.\w+\.v1)(?:\.\w+)*)`", text_of(document)):
        assert is_there(name), name


def is_there(name: str) -> bool:
    """Whether there is a package or module of that dotted name, or something of that name in one."""
    base = ROOT / "gen" if name.startswith("hybridinference") else ROOT
    path = base / name.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    return re.search(rf"\b{path.name}\b", "".join(map(text_of, sources_of(path.parent)))) is not None


def sources_of(path: pathlib.Path) -> list[pathlib.Path]:
    return [path.with_suffix(".py")] if path.with_suffix(".py").is_file() else sorted(path.glob("*.py*"))


@EACH
def test_every_make_target_that_is_named_exists(document: pathlib.Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of(ROOT / "Makefile"), re.MULTILINE))
    for command in commands(document):
        for target in re.findall(r"^make ([a-z][a-z-]*)", command):
            assert target in targets, command


@EACH
def test_every_hybrid_command_and_option_that_is_named_exists(document: pathlib.Path) -> None:
    known: Any = typer.main.get_command(app)
    for command in commands(document):
        named = re.match(r"(?:bin/)?hybrid ([a-z][a-z-]*)(.*)", command)
        if named is None:
            continue
        assert named[1] in known.commands, command
        called, rest = known.commands[named[1]], named[2]
        if named[1] == "simulate" and (further := re.match(r" ([a-z]+)\b", rest)):
            played: Any = typer.main.get_command(simulator)
            called = played.commands[further[1]]
        elif hasattr(called, "commands") and (further := re.match(r" ([a-z]+)\b", rest)):
            called = called.commands[further[1]]
        options = {option for parameter in called.params for option in parameter.opts}
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in options, command


def test_the_readme_lists_every_command_of_hybrid() -> None:
    known: Any = typer.main.get_command(app)
    listed = re.findall(r"^\| `hybrid ([a-z-]+)", text_of(ROOT / "README.md"), re.MULTILINE)
    assert sorted(listed) == sorted(known.commands)


def test_the_routing_page_names_every_term_of_every_strategy_and_every_filter() -> None:
    named = set(spans(ROOT / "docs" / "routing.md"))
    price = {"price": {"input": 1, "output": 1}}
    for kind in get_args(get_args(strategies.Strategy)[0]):
        config = mesh.MeshConfig.model_validate(
            {
                "providers": {"e": {"kind": "echo", "models": ["m"]}},
                "models": [{"name": "m", "strategy": kind().name, "routes": [{"provider": "e", **price}]}],
            }
        )
        pool = Roster(config, NullObserver()).models["m"]
        score = pool.strategy.score(Request.of(placement_pb2.PlacementAsk(input_tokens=9), pool), pool.targets[0], 1.0)
        assert score is not None
        assert not {kind().name, *score.terms} - named
    code = text_of(ROOT / "services/router/explain.py") + text_of(ROOT / "services/router/target.py")
    # Where a filter is named: it is yielded, returned or assigned.
    lines = [line for line in code.splitlines() if re.search(r"yield target, |return \(?\"|^LATE, QUEUE", line)]
    assert {word for line in lines for word in re.findall(r'"(\w+)"', line)} <= named


def test_every_environment_variable_that_is_named_is_read() -> None:
    code = "".join(text_of(path) for path in (ROOT / "services").rglob("*.py"))
    for document in DOCUMENTS:
        for variable in re.findall(r"\bHYBRID_\w+", text_of(document)):
            assert variable in code, variable


def test_what_the_examples_are_run_with_is_where_their_readme_says() -> None:
    [line] = [one for one in commands(ROOT / "examples" / "README.md") if one.startswith("PATH=")]
    asked = f"{line}\nexport PATH; command -v python grpcurl buf; python -c 'import grpc, grpc_status, openai'"
    found = subprocess.run(["bash", "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    environment = pathlib.Path(sys.executable).parent
    assert found.split() == [str(environment / name) for name in ("python", "grpcurl", "buf")]


@pytest.mark.parametrize("example", ["python", "node", "cpp", "ruby", "shell"])
def test_an_example_bounds_the_answers_that_it_waits_for(example: str) -> None:
    """Without a bound a small model at its default temperature goes on until the example's deadline."""
    for path in (ROOT / "examples" / example).iterdir():
        if path.suffix in (".py", ".js", ".cc", ".rb", ".sh"):
            assert re.search(r"max_?(completion_|output_?)tokens", text_of(path), re.IGNORECASE), path.name


@EACH
def test_a_socket_is_named_to_psql_by_an_absolute_path(document: pathlib.Path) -> None:
    for command in commands(document):  # another one it takes for the name of a host
        for host in re.findall(r"^psql -h (\S+)", command):
            assert host.startswith(('"$PWD/', "/")), command


def test_every_configuration_in_the_readme_is_valid() -> None:
    shown = blocks(ROOT / "README.md", "yaml")
    assert shown
    for block in shown:
        config.parse(block, mesh.MeshConfig, source="README.md", environment={})


def test_the_readme_tells_every_option_of_the_echo_script() -> None:
    section = text_of(ROOT / "README.md").partition("## Trying faults")[2].partition("\n## ")[0]
    for option in echo._Script.model_fields:
        assert f"`{option}`" in section, option


def test_every_metric_that_is_named_exists() -> None:
    known = {sample for name in metrics.register() for sample in (name, *metrics.exported(name))}
    for document in DOCUMENTS:
        for name in re.findall(r"\b((?:hybrid_[a-z]+|gen_ai_(?:server|client)|grpc_server)_\w+)", text_of(document)):
            assert name in known, f"{document.name}: {name}"


def test_every_test_that_is_named_exists() -> None:
    code = "".join(text_of(path) for path in (ROOT / "tests").rglob("test_*.py"))
    facts = set(re.findall(r"^(?:async )?def (test_\w+)", code, re.MULTILINE))
    named = {name: re.findall(r"`(test_\w+)`", text_of(ROOT / name)) for name in ("ARCHITECTURE.md", "SECURITY.md")}
    assert all(named.values())
    for document, names in named.items():
        assert set(names) <= facts, (document, set(names) - facts)


def test_the_architecture_lists_every_service_and_method() -> None:
    section = text_of(ROOT / "ARCHITECTURE.md").partition("## Contracts")[2].partition("\n## ")[0]
    for path in sorted((ROOT / "protos").rglob("*.proto")):
        package = re.search(r"^package ([\w.]+);", text_of(path), re.MULTILINE)
        assert package
        row = next(line for line in section.splitlines() if f"`{package[1]}`" in line)
        for name in re.findall(r"^ *(?:service|rpc) (\w+)", text_of(path), re.MULTILINE):
            assert re.search(rf"\b{name}\b", row), f"{package[1]}: {name}"


def test_the_page_of_the_ledger_lists_every_table() -> None:
    section = text_of(ROOT / "docs" / "ledger.md").partition("## Tables")[2].partition("\n## ")[0]
    for path in sorted((ROOT / "infrastructure" / "postgres" / "migrations").glob("*.sql")):
        for name in re.findall(r"^CREATE (?:TABLE|VIEW) (\w+)\b(?! PARTITION OF)", text_of(path), re.MULTILINE):
            assert f"| `{name}` |" in section, name


def test_the_architecture_lists_every_package() -> None:
    section = text_of(ROOT / "ARCHITECTURE.md").partition("## Code")[2].partition("\n## ")[0]
    for path in (ROOT / "services").iterdir():
        if (path / "__init__.py").exists():
            assert f"`services/{path.name}`" in section, path.name


def test_the_architecture_names_every_import_contract() -> None:
    settings = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    section = " ".join(text_of(ROOT / "ARCHITECTURE.md").split())
    for contract in settings["tool"]["importlinter"]["contracts"]:
        assert contract["name"] in section


def test_the_register_of_errors_is_the_one_in_the_code() -> None:
    expected = []
    for name, number in reasons.ErrorReason.items():
        row = register.REASONS[number]
        told = f"{code_pb2.Code.Name(cast(code_pb2.Code, row.grpc))} | {row.http} | `{row.type}` | `{row.code}`"
        expected.append(f"| {name.removeprefix('ERROR_REASON_')} | {told} | {'no' if row.final else ''} |")
    assert re.findall(r"^\| [A-Z_]+ \|.*$", text_of(ROOT / "docs" / "errors.md"), re.MULTILINE) == expected


def test_decisions_are_numbered_short_and_of_one_form() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))
    for number, path in enumerate(DECISIONS, start=1):
        lines = text_of(path).splitlines()
        assert lines[0].startswith(f"# {number}. "), path.name
        assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Decision", "## Consequences"]
        assert len(lines) <= 40, path.name


def test_the_versions_of_clients_are_those_of_the_locks() -> None:
    rows = re.findall(
        r"^\| `([\w@/-]+)` \| (PyPI|npm) \| ([\d.]+) \|", text_of(ROOT / "docs" / "clients.md"), re.MULTILINE
    )
    assert {home for _, home, _ in rows} == {"PyPI", "npm"}
    python = dict(re.findall(r"^([\w-]+)==([\d.]+)", text_of(ROOT / "requirements" / "clients.lock"), re.MULTILINE))
    node = json.loads(text_of(ROOT / "tests" / "clients" / "package-lock.json"))["packages"]
    for name, home, version in rows:
        assert version == (python[name] if home == "PyPI" else node[f"node_modules/{name}"]["version"]), name


async def test_the_example_of_a_provider_works() -> None:
    settings, module, line, joined = blocks(ROOT / "CONTRIBUTING.md", "python")
    assert "reverse.open_provider(config)" in line
    names: dict[str, Any] = {**vars(provider), "Literal": Literal, "pydantic": pydantic}
    exec(compile(settings, "CONTRIBUTING.md", "exec"), names)
    shown, kinds = (set(get_args(get_args(union)[0])) for union in (names["Provider"], provider.Provider))
    assert kinds < shown
    found = yaml.safe_load("{kind: reverse, workers: 2}")
    configured = pydantic.TypeAdapter(names["Provider"]).validate_python(found)
    # The imports that it leaves out are said to be those of `echo.py`.
    excused = re.search(r"`NO_MODEL` excuses (.*?) and every fault", text_of(ROOT / "CONTRIBUTING.md"))
    assert excused
    excuses = dict.fromkeys([*re.findall(r"`([\w-]+)`", excused[1]), *(fault.name for fault in FAULTS)], "no model")
    column = eval(joined, {**vars(subject), "NO_MODEL": excuses})
    names = {**vars(echo), "ReverseProvider": names["ReverseProvider"], "asyncio": asyncio}
    exec(compile(module, "CONTRIBUTING.md", "exec"), names)
    with tempfile.TemporaryDirectory(prefix="doc") as directory:
        address = f"unix:{directory}/w.sock"
        async with (
            names["open_provider"](configured) as reverse,
            fakes.running_worker(address, reverse) as running,
            fakes.gateway_session(running.address) as session,
        ):
            start = session_pb2.StartAttempt(attempt_id="a", spec=fakes.spec(text="stressed"))
            start.spec.model = "reverse"
            await session.say(session_pb2.SessionCommand(start=start))
            assert await session.outcome("a") is None
            assert session.text("a") == "desserts"
            async with open_channel(address) as channel:
                for feature in FEATURES:
                    if feature.name not in column.reasons:
                        seen = await Client(channel).seen(feature, "reverse")
                        found = verdict(feature, seen, column.claims(embeds=feature.embeds))
                        assert found.outcome != "failed", f"{feature.name}: {found.why}"
