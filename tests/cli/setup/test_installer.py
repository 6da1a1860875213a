import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from services.cli.setup.environment import Environment
from services.cli.setup.failure import SetupError
from services.cli.setup.installer import without_find_links
from services.cli.setup.progress import Progress


@pytest.fixture
def offline_wheel(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only package there is: pip looks at its directory and nowhere else."""
    wheel = tmp_path / "wheels" / "thing-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing.py", "ANSWER = 42\n")
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return wheel


def environment(tmp_path: Path, digest: str) -> Environment:
    lock = tmp_path / "thing.lock"
    lock.write_text(f"thing==1.0 \\\n    --hash=sha256:{digest}\n    # via nothing\n")
    return Environment("thing", lock)


@pytest.mark.slow
def test_pip_installs_the_lock_with_bytecode(tmp_path, offline_wheel):
    made = environment(tmp_path, hashlib.sha256(offline_wheel.read_bytes()).hexdigest())
    made.ensure(Progress(io.StringIO()))
    assert list(made.path.glob("lib/python*/site-packages/__pycache__/thing.*.pyc"))


@pytest.mark.slow
def test_constraints_of_the_user_do_not_overrule_the_lock(tmp_path, offline_wheel, monkeypatch):
    settings, constraints = tmp_path / "pip.conf", tmp_path / "constraints.txt"
    settings.write_text(f"[global]\nconstraint = {constraints}\n")
    constraints.write_text("thing>=2\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    made = environment(tmp_path, hashlib.sha256(offline_wheel.read_bytes()).hexdigest())
    made.ensure(Progress(io.StringIO()))
    assert made.ready


@pytest.mark.slow
def test_a_changed_file_is_refused(tmp_path, offline_wheel):
    made = environment(tmp_path, "0" * 64)
    with pytest.raises(SetupError, match="not the one the lock names"):
        made.ensure(Progress(io.StringIO()))
    assert not made.ready


def test_a_gpu_install_keeps_the_users_settings_but_no_find_links(tmp_path):
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://mirror.example/simple\nfind-links = /wheels\n[install]\nretries = 7\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    env |= {"PIP_CONFIG_FILE": str(file), "PIP_FIND_LINKS": "/more", "PIP_CERT": "/cert.pem"}
    settings = without_find_links(Path(sys.executable), env)
    assert settings["PIP_INDEX_URL"] == "https://mirror.example/simple"
    assert settings["PIP_RETRIES"] == "7"
    assert settings["PIP_CERT"] == "/cert.pem"
    assert settings["PIP_CONFIG_FILE"] == os.devnull
    assert "PIP_FIND_LINKS" not in settings
