"""The script that installs Debian's packages, before programs that only say that they were called."""

import os
import pathlib
import pwd
import subprocess
import tempfile
from collections.abc import Mapping

SCRIPT = pathlib.Path(__file__).with_name("debian")
PACKAGES = SCRIPT.read_text().partition("packages=(")[2].partition(")")[0].split()
ALL = "".join(f"echo '{package} installed'\n" for package in PACKAGES)
ALL_BUT_RUBY = "".join(f"echo '{package} installed'\n" for package in PACKAGES if package != "ruby-grpc")
LOG = 'echo "$(basename "$0") $*" >> "$CALLS"\n'
# Works once the lists were fetched.
STALE = LOG + 'case $1 in update) touch "$CALLS.new";; *) [ -e "$CALLS.new" ];; esac'


def run(
    directory: pathlib.Path, programs: Mapping[str, str], *, user: int | None = None
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run it where these are all the programs that matter; what it called comes with its end."""
    for name, body in {"sudo": "exit 1", **programs}.items():
        program = directory / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    calls = directory / "calls"
    calls.touch()
    environment = {"PATH": f"{directory}:/usr/bin:/bin", "CALLS": str(calls)}
    with SCRIPT.open() as script:
        done = subprocess.run(
            ["bash"],
            stdin=script,
            env=environment,
            cwd="/",
            user=user,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    return done, calls.read_text().splitlines()


# What makes it root: its own user is, or sudo asks for no password.
WITH_RIGHTS = {} if os.geteuid() == 0 else {"sudo": 'shift\nexec "$@"'}


def test_nothing_is_done_where_all_is_there(tmp_path: pathlib.Path) -> None:
    done, calls = run(tmp_path, {"dpkg-query": ALL, "apt-get": LOG})
    assert (done.returncode, done.stdout, calls) == (0, "", [])


def test_only_what_is_missing_is_installed_and_lists_are_not_fetched_without_need(tmp_path: pathlib.Path) -> None:
    done, calls = run(tmp_path, {**WITH_RIGHTS, "dpkg-query": ALL_BUT_RUBY, "apt-get": LOG})
    assert done.returncode == 0
    assert calls == ["apt-get install -y -qq --no-install-recommends ruby-grpc"]


def test_lists_are_fetched_where_installing_fails_without(tmp_path: pathlib.Path) -> None:
    done, calls = run(tmp_path, {**WITH_RIGHTS, "dpkg-query": ALL_BUT_RUBY, "apt-get": STALE})
    assert done.returncode == 0, done.stderr
    assert [call.split()[1] for call in calls] == ["install", "update", "install"]


def test_an_error_of_the_installation_is_shown(tmp_path: pathlib.Path) -> None:
    done, _ = run(tmp_path, {**WITH_RIGHTS, "dpkg-query": ALL_BUT_RUBY, "apt-get": "echo no space left; exit 100"})
    assert done.returncode == 1
    assert "no space left" in done.stderr


def test_who_has_no_right_is_told_what_to_install() -> None:
    nobody = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory).chmod(0o755)
        done, calls = run(pathlib.Path(directory), {"dpkg-query": ALL_BUT_RUBY, "apt-get": LOG}, user=nobody)
    assert (done.returncode, calls) == (1, [])
    assert "apt-get install ruby-grpc" in done.stderr


def test_packages_that_are_removed_but_remembered_count_as_missing(tmp_path: pathlib.Path) -> None:
    query = ALL_BUT_RUBY + "echo 'ruby-grpc config-files'"
    _, calls = run(tmp_path, {**WITH_RIGHTS, "dpkg-query": query, "apt-get": LOG})
    assert calls == ["apt-get install -y -qq --no-install-recommends ruby-grpc"]
