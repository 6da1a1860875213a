"""What a process begins with while its file cannot be used."""

import pathlib

import pytest
import structlog
from prometheus_client import CollectorRegistry

from services.chassis import reloading
from services.chassis.config import ConfigError
from services.config import last_good
from services.config.last_good import LastGood

GOOD = """ledger: {dsn: "${DSN}"}
providers: {e: {kind: echo}}
models: [{name: m, routes: [{provider: e}]}]
"""
BAD = GOOD.replace("models:", "modles:")
VARIABLES = {"DSN": "postgresql://canary@db/x"}


@pytest.fixture
def file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A good one, in a home of its own."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "hybrid.yaml"
    made.write_text(GOOD)
    return made


def _process(file: pathlib.Path, name: str = "router", role: str = "router") -> LastGood:
    return LastGood(file, role, name, VARIABLES)


def _begun(file: pathlib.Path, name: str = "router", role: str = "router") -> LastGood:
    """One that has begun and kept what it began with."""
    made = _process(file, name, role)
    made.begin()
    made.keep()
    return made


def _copies() -> list[pathlib.Path]:
    return sorted(last_good.DIRECTORY.iterdir())


def test_a_process_that_starts_again_begins_with_what_it_took_and_says_what_is_wrong(file: pathlib.Path) -> None:
    before = _begun(file)
    assert before.refused == ()
    file.write_text(BAD)
    again = _process(file)
    assert again.begin() == before.begin()
    assert any("hybrid.yaml:3: `modles` is not known; did you mean `models`?" in each for each in again.refused)


@pytest.mark.parametrize("damage", ["models: [", "", None])
def test_so_it_does_where_the_file_is_no_yaml_or_empty_or_gone(file: pathlib.Path, damage: str | None) -> None:
    _begun(file)
    file.unlink() if damage is None else file.write_text(damage)
    assert _process(file).begin().models[0].name == "m"


def test_a_first_start_with_a_bad_file_is_refused(file: pathlib.Path) -> None:
    file.write_text(BAD)
    with pytest.raises(ConfigError, match="modles"):
        _process(file).begin()


@pytest.mark.parametrize(("role", "name"), [("router", "router-2"), ("worker", "router")])
def test_no_process_begins_with_what_another_took(file: pathlib.Path, role: str, name: str) -> None:
    _begun(file)
    file.write_text(BAD)
    with pytest.raises(ConfigError):
        _process(file, name, role).begin()


def test_nor_with_what_it_took_of_another_file(file: pathlib.Path) -> None:
    _begun(file)
    other = file.with_name("other.yaml")
    other.write_text(BAD)
    with pytest.raises(ConfigError):
        _process(other).begin()


def test_nor_with_what_another_home_has(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _begun(file)
    file.write_text(BAD)
    (file.parent / "elsewhere").mkdir()
    monkeypatch.chdir(file.parent / "elsewhere")
    with pytest.raises(ConfigError):
        _process(file).begin()


def test_the_copy_is_the_files_own_text_for_its_user_alone(file: pathlib.Path) -> None:
    _begun(file)
    (copy,) = _copies()
    assert copy.read_text() == GOOD
    assert "canary" not in copy.read_text()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700


def test_variables_and_secrets_in_files_are_what_they_are_when_it_is_read(file: pathlib.Path) -> None:
    (file.parent / "key").write_text("first")
    vendor = "providers: {e: {kind: openai, models: [m], api_keys: ['${file:key}']}}"
    file.write_text(GOOD.replace("providers: {e: {kind: echo}}", vendor))
    before = _begun(file).begin()
    file.write_text(BAD)
    (file.parent / "key").write_text("second")
    again = LastGood(file, "router", "router", {"DSN": "postgresql://other/x"}).begin()
    assert before.ledger.address(None) == VARIABLES["DSN"]
    assert again.ledger.address(None) == "postgresql://other/x"
    assert "second" in repr([each.get_secret_value() for each in again.providers["e"].api_keys])  # type: ignore[union-attr]


def test_where_the_copy_cannot_be_used_either_both_are_told(file: pathlib.Path) -> None:
    _begun(file)
    file.write_text(BAD)
    with pytest.raises(ConfigError) as caught:
        LastGood(file, "router", "router", {}).begin()
    of_file, of_copy = caught.value.problems
    assert of_file == f"{file}:1: the environment variable DSN is not set"
    assert of_copy == f"the last good configuration cannot be used either: {of_file}"


def test_what_was_read_but_not_taken_is_not_kept(file: pathlib.Path) -> None:
    process = _begun(file)
    file.write_text(GOOD.replace("name: m", "name: n"))
    process.read(file)
    assert _copies()[0].read_text() == GOOD
    process.keep()
    assert "name: n" in _copies()[0].read_text()
    assert len(_copies()) == 1


def test_a_home_that_cannot_be_written_stops_nobody(file: pathlib.Path) -> None:
    (file.parent / "run").write_text("a file where the directory would be")
    with structlog.testing.capture_logs() as said:
        _begun(file)
    assert [each["event"] for each in said] == ["config.not_kept"]


def test_what_the_mesh_uses_is_what_those_took_that_follow_changes(file: pathlib.Path) -> None:
    assert last_good.in_use(file.parent, file, VARIABLES) is None
    router = _begun(file)
    file.write_text(GOOD.replace("name: m", "name: n"))
    _begun(file, "e-0", "worker")  # started again since
    found = last_good.in_use(file.parent, file, VARIABLES)
    assert found is not None
    assert found.models[0].name == "m"
    router.read(file)
    router.keep()
    found = last_good.in_use(file.parent, file, VARIABLES)
    assert found is not None
    assert found.models[0].name == "n"


def test_who_begins_with_it_says_so_loudly() -> None:
    registry = CollectorRegistry()
    with structlog.testing.capture_logs() as said:
        reloading.begun(registry, "abc", ["hybrid.yaml:3: wrong"])
    assert [(each["event"], each["log_level"]) for each in said] == [
        ("config.refused", "error"),
        ("config.last_good", "error"),
    ]
    assert said[0]["problems"] == ["hybrid.yaml:3: wrong"]
    assert registry.get_sample_value("hybrid_config_last_reload_successful") == 0
    assert registry.get_sample_value("hybrid_config_info", {"version": "abc"}) == 1


def test_who_begins_with_its_file_says_nothing() -> None:
    registry = CollectorRegistry()
    with structlog.testing.capture_logs() as said:
        reloading.begun(registry, "abc", ())
    assert said == []
    assert registry.get_sample_value("hybrid_config_last_reload_successful") == 1
