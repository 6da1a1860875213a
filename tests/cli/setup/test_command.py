import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.setup.__main__ import main
from services.cli.setup.environment import CLONE, mesh_environment


def test_python_prints_the_interpreter_of_an_environment(pip, capsys):
    assert main(["mesh"]) == 0
    capsys.readouterr()
    assert main(["python", "mesh"]) == 0
    assert capsys.readouterr().out.strip() == str(mesh_environment().python)


def test_python_of_an_environment_that_is_not_set_up_gives_a_hint(cache, capsys):
    assert main(["python", "dev"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "services.cli.setup dev" in said.err


def test_another_python_is_refused_before_anything_is_built(pip, capsys, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    assert main(["mesh"]) == 1
    assert "Python 3.11" in capsys.readouterr().err
    assert pip.calls == []


def test_a_cache_that_cannot_be_written_is_explained(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "file"))
    assert main(["mesh"]) == 1
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("module", ["services.cli.setup.__main__", "services.cli.setup.models"])
def test_the_set_up_needs_nothing_installed(module):
    subprocess.run([sys.executable, "-S", "-c", f"import {module}"], cwd=CLONE, env={}, check=True, timeout=30)


def test_the_launcher_says_what_is_missing(tmp_path):
    env = dict(os.environ, HYBRID_CACHE=str(tmp_path))
    ran = subprocess.run([CLONE / "bin" / "hybrid"], env=env, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert "make setup" in ran.stderr


def test_the_launcher_runs_the_command_in_the_mesh_environment(pip):
    main(["mesh"])
    mesh = mesh_environment()
    mesh.python.unlink()
    mesh.python.write_text('#!/bin/sh\necho "$@" "$PYTHONPATH" "${PYTHONDONTWRITEBYTECODE-unset}"\n')
    mesh.python.chmod(0o755)
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH="/mine")
    argv = [Path(CLONE, "bin", "hybrid"), "up", "--quick"]
    ran = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == f"-m services.cli up --quick {CLONE}:{CLONE}/gen:/mine unset\n"
