"""Letting one user pass through a directory."""

import os
import pathlib
import stat
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli import access

OWNER, USER, OWNING_GROUP, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NO_ID = 0xFFFFFFFF
RIGHTS = st.integers(0, 7)


def effective(entries: list[tuple[int, int, int]]) -> dict[tuple[int, int], int]:
    mask = next((right for whom, right, _ in entries if whom == MASK), 7)
    bounded = (USER, OWNING_GROUP, GROUP)
    return {(whom, at): right & mask if whom in bounded else right for whom, right, at in entries if whom != MASK}


@given(
    base=st.tuples(RIGHTS, RIGHTS, RIGHTS),
    named=st.dictionaries(st.tuples(st.sampled_from((USER, GROUP)), st.integers(0, 5)), RIGHTS),
    mask=RIGHTS,
)
def test_one_user_may_pass_and_nobody_else_gains(
    base: tuple[int, int, int], named: dict[tuple[int, int], int], mask: int
) -> None:
    entries = [(whom, right, NO_ID) for whom, right in zip((OWNER, OWNING_GROUP, OTHER), base, strict=True)]
    entries += [(whom, right, at) for (whom, at), right in named.items()]
    if named:
        entries.append((MASK, mask, NO_ID))
    before, after = effective(entries), effective(access.passable(entries, 5))
    assert after.pop((USER, 5)) == before.pop((USER, 5), 0) | 1
    assert after == before
    assert access.passable(access.passable(entries, 5), 5) == access.passable(entries, 5)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_the_kernel_takes_it_that_way() -> None:
    directory = pathlib.Path("/tmp") / f"access-{os.getpid()}"
    directory.mkdir(mode=0o700)
    try:
        (directory / "file").write_text("text")

        def reads(user: int) -> bool:
            command = ["cat", str(directory / "file")]
            return subprocess.run(command, user=user, group=user, capture_output=True, check=False).returncode == 0

        assert not reads(12345)
        for _ in range(2):
            access.let_pass(directory, 12345)
            assert (reads(12345), reads(12346)) == (True, False)
            assert stat.S_IMODE(directory.stat().st_mode) & 0o007 == 0
        directory.chmod(0o700)  # which hides the list
        assert not reads(12345)
        access.let_pass(directory, 12345)
        assert (reads(12345), reads(12346)) == (True, False)
    finally:
        (directory / "file").unlink()
        directory.rmdir()
