import io
import threading
from pathlib import Path

import pytest

from services.cli.setup.environment import Environment, engine_environment
from services.cli.setup.failure import SetupError
from services.cli.setup.progress import Progress

PIN = "thing==1.0 \\\n    --hash=sha256:00\n"


@pytest.fixture
def progress() -> Progress:
    return Progress(io.StringIO())


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    lock = tmp_path / "mesh.lock"
    lock.write_text(PIN)
    return lock


def test_a_changed_lock_is_another_environment(cache, lock):
    before = Environment("mesh", lock).path
    lock.write_text(PIN.replace("1.0", "1.1"))
    assert before.parent == Environment("mesh", lock).path.parent == cache / "envs"
    assert before != Environment("mesh", lock).path


def test_an_environment_is_built_once(pip, lock, progress):
    environment = Environment("mesh", lock)
    assert not environment.ready
    environment.ensure(progress)
    environment.ensure(progress)
    assert environment.ready
    assert pip.environments_made == 1


def test_an_incomplete_environment_is_rebuilt(pip, lock, progress):
    environment = Environment("mesh", lock)
    environment.ensure(progress)
    (environment.path / ".complete").unlink()
    (environment.path / "leftover").touch()
    environment.ensure(progress)
    assert not (environment.path / "leftover").exists()
    assert pip.environments_made == 2


def test_an_environment_whose_python_is_gone_is_rebuilt(pip, lock, progress):
    environment = Environment("mesh", lock)
    environment.ensure(progress)
    environment.python.unlink()
    environment.python.symlink_to("/nowhere/python3.11")
    assert not environment.ready
    environment.ensure(progress)
    assert environment.ready


def test_several_clones_at_once_build_it_once(pip, lock):
    said = [io.StringIO() for _ in range(3)]
    environment = Environment("mesh", lock)
    threads = [threading.Thread(target=environment.ensure, args=(Progress(stream),)) for stream in said]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pip.environments_made == 1
    assert sum("waiting for it" in stream.getvalue() for stream in said) == 2


def test_a_failed_build_says_what_to_do_and_is_not_ready(pip, lock, progress):
    lock.write_text("unreachable==1.0 \\\n    --hash=sha256:00\n")
    environment = Environment("mesh", lock)
    with pytest.raises(SetupError, match="could not be reached") as raised:
        environment.ensure(progress)
    assert "HTTPS_PROXY" in str(raised.value)
    assert "Temporary failure in name resolution" in str(raised.value)
    assert not environment.ready


def test_only_a_local_version_asks_the_extra_index(pip, lock, progress):
    lock.write_text("missing==1.0+cpu \\\n    --hash=sha256:00\n" + PIN)
    Environment("engine-cpu", lock).ensure(progress)
    installs = [call for call in pip.calls if " install " in call]
    assert ["--extra-index-url" in call for call in installs] == [False, True, False]
    assert installs[-1].endswith("pins.txt")


def test_pip_verifies_hashes_and_resolves_nothing(pip, lock, progress):
    Environment("mesh", lock).ensure(progress)
    (install,) = (call for call in pip.calls if " install " in call)
    assert "--require-hashes" in install
    assert "--no-deps" in install


def test_a_missing_lock_is_explained(tmp_path):
    with pytest.raises(SetupError, match="is missing"):
        _ = Environment("mesh", tmp_path / "none.lock").path


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_engine_can_be_chosen(kind, monkeypatch):
    monkeypatch.setenv("HYBRID_ENGINE", kind)
    assert engine_environment().lock.name == f"engine-{kind}.lock"


def test_an_unknown_engine_is_refused(monkeypatch):
    monkeypatch.setenv("HYBRID_ENGINE", "tpu")
    with pytest.raises(SetupError, match="tpu"):
        engine_environment()
