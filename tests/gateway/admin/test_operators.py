"""Operators' credentials, and the files that hold them."""

import pathlib
import re

import pytest

from services.gateway.admin.operators import Operators
from tests.gateway.admin.office import operator, operators


def test_a_credential_is_made_for_its_user_alone_and_stays(tmp_path: pathlib.Path) -> None:
    Operators.of_files([operator(tmp_path, "root")])
    file = tmp_path / "root.key"
    made = file.read_text()
    assert re.fullmatch(r"ha_root_[A-Za-z0-9_-]{43}\n", made)
    assert file.stat().st_mode & 0o777 == 0o600
    Operators.of_files([operator(tmp_path, "root")])
    assert file.read_text() == made


def test_each_operator_is_told_by_its_credential_and_nobody_by_anything_else(tmp_path: pathlib.Path) -> None:
    known = operators(tmp_path)
    made = Operators.of_files(known)
    for one in known:
        credential = (tmp_path / f"{one.name}.key").read_text().strip()
        assert made.identified(f"Bearer {credential}") == one
        for wrong in (
            *("", "Bearer ", f"Bearer {credential} ", f"bearer {credential}", credential, f"Basic {credential}"),
            *(f"Bearer {credential[:-1]}", f"Bearer {credential}A", f"Bearer {credential.upper()}"),
            *(f"Bearer ha_{one.name}_{'A' * 43}", f"Bearer ha_nobody_{credential[-43:]}", f"Bearer {credential[-43:]}"),
            *(f"Bearer hi_{'a' * 16}_{credential[-43:]}", "Bearer " + "\udcff" * 60),
        ):
            assert made.identified(wrong) is None, wrong


def test_a_credential_that_others_can_read_is_refused(tmp_path: pathlib.Path) -> None:
    Operators.of_files([operator(tmp_path, "root")])
    (tmp_path / "root.key").chmod(0o640)
    with pytest.raises(ValueError, match=r"root.key can be read by others; `chmod 600` it"):
        Operators.of_files([operator(tmp_path, "root")])


@pytest.mark.parametrize(
    "content", ["", "ha_root_short", "ha_other_" + "a" * 43, "hi_root_" + "a" * 43, "ha_root_" + "é" * 43]
)
def test_a_file_without_a_credential_of_its_operator_is_refused_and_not_quoted(
    tmp_path: pathlib.Path, content: str
) -> None:
    file = tmp_path / "root.key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ValueError, match="holds no credential of `root`") as refused:
        Operators.of_files([operator(tmp_path, "root")])
    assert not content or content not in str(refused.value)
