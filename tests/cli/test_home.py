"""The directory that a mesh lives in."""

import os
import pathlib
import stat

import pytest

from services.cli.home import Home
from services.cli.problem import Problem


def test_only_its_owner_can_enter_run_and_logs(home: Home) -> None:
    for directory in (home.run, home.logs):
        directory.chmod(0o755)
    home.prepare()
    assert {stat.S_IMODE(directory.stat().st_mode) for directory in (home.run, home.logs)} == {0o700}


def test_a_home_that_is_made_is_its_owners_alone(tmp_path: pathlib.Path) -> None:
    made = Home(tmp_path / "home")
    made.prepare()
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700


def test_a_run_directory_that_leads_elsewhere_is_refused(home: Home, tmp_path: pathlib.Path) -> None:
    home.run.rmdir()
    home.run.symlink_to(tmp_path)
    with pytest.raises(Problem, match="not a directory of yours"):
        home.prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_run_directory_of_somebody_else_is_refused(home: Home) -> None:
    os.chown(home.run, 12345, 12345)
    with pytest.raises(Problem, match="not a directory of yours"):
        home.prepare()


def test_a_home_that_cannot_be_made_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="--home"):
        Home(tmp_path / "file" / "home").prepare()
