"""The secrets under which keys are stored."""

import concurrent.futures
import contextlib
import os
import pathlib

import pytest

from services.gateway.identity import credential as credentials
from services.gateway.identity.peppers import Peppers

KEY = credentials.make(bytes(range(42)))


def file(path: pathlib.Path, text: str, mode: int = 0o600) -> pathlib.Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_file_that_is_missing_is_made_for_its_user_alone_and_read_ever_after(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "home" / "pepper.key"
    made = Peppers.of_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Peppers.of_file(path) == made
    assert Peppers.of_file(tmp_path / "other") != made


def test_processes_that_make_it_at_once_agree(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pepper.key"
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        macs = {peppers.mac(KEY) for peppers in threads.map(Peppers.of_file, [path] * 8)}
    assert macs == {Peppers.of_file(path).mac(KEY)}


def test_the_first_line_is_for_new_keys_and_all_are_taken(tmp_path: pathlib.Path) -> None:
    old = Peppers.of_file(file(tmp_path / "old", "a" * 64 + "\n"))
    both = Peppers.of_file(file(tmp_path / "both", "b" * 64 + "\n\n" + "a" * 64))
    pepper_id, mac = old.mac(KEY)
    assert both.mac(KEY)[0] != pepper_id
    assert dict([both.mac(KEY)]).items() <= both.macs(KEY).items()
    assert both.macs(KEY)[pepper_id] == mac
    assert len(both.macs(KEY)) == 2


def test_what_a_pepper_is_called_says_nothing_of_it_and_the_same_of_the_same(tmp_path: pathlib.Path) -> None:
    one = Peppers.of_file(file(tmp_path / "one", "a" * 64))
    assert one.mac(KEY)[0] == Peppers.of([b"\xaa" * 32]).mac(KEY)[0]
    assert "aa" * 32 not in repr(one)
    assert one.mac(KEY)[0] not in "a" * 64


@pytest.mark.parametrize(
    "text", ["a" * 63, "A" * 64, "g" * 64, f"{'a' * 64} {'b' * 64}", f"{'a' * 64}\nsesame", "ä" * 64]
)
def test_a_line_that_is_no_pepper_is_named_and_not_shown(tmp_path: pathlib.Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"pepper\.key:[12]: a pepper is 64 digits") as caught:
        Peppers.of_file(file(tmp_path / "pepper.key", text))
    assert text[:20] not in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_file_of_another_user_is_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path / "pepper.key", "a" * 64)
    other = path.stat().st_uid + 1
    monkeypatch.setattr("os.geteuid", lambda: other)
    with pytest.raises(ValueError, match="belongs to another user"):
        Peppers.of_file(path)


def test_an_empty_file_is_not_filled(tmp_path: pathlib.Path) -> None:
    path = file(tmp_path / "pepper.key", "\n")
    with pytest.raises(ValueError, match="holds no pepper"):
        Peppers.of_file(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that is root's")
@pytest.mark.parametrize(("mode", "taken"), [(0o440, True), (0o640, True), (0o460, False), (0o444, False)])
def test_what_root_hands_out_to_a_group_is_taken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, mode: int, taken: bool
) -> None:
    path = file(tmp_path / "pepper.key", "a" * 64, mode)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with contextlib.nullcontext() if taken else pytest.raises(ValueError, match="can be read by others"):
        Peppers.of_file(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610])
def test_a_file_that_others_can_read_is_refused(tmp_path: pathlib.Path, mode: int) -> None:
    with pytest.raises(ValueError, match="chmod 600"):
        Peppers.of_file(file(tmp_path / "pepper.key", "a" * 64, mode))
