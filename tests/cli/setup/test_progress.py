import io

import pytest

from services.cli.setup.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_terminal_a_line_is_a_tenth_or_ten_seconds(clock):
    stream = io.StringIO()
    with Progress(stream, clock).step("mesh") as step:
        for percent in range(50):
            step.update(percent / 100, f"{percent} of 100")
        clock.now = 11.0
        step.update(0.5)
    assert stream.getvalue().splitlines() == [
        "mesh ...",
        "mesh: 10%, 0:00, 10 of 100",
        "mesh: 20%, 0:00, 20 of 100",
        "mesh: 30%, 0:00, 30 of 100",
        "mesh: 40%, 0:00, 40 of 100",
        "mesh: 50%, 0:11",
        "mesh: done, 0:11",
    ]


def test_on_a_terminal_one_line_moves_and_never_wraps(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    with Progress(stream, clock).step("mesh") as step:
        for percent in range(0, 100, 10):
            clock.now += 1
            step.update(percent / 100, f"{percent} of 100" + " packages" * 20)
    assert max(map(len, stream.getvalue().splitlines()[0].split("\r"))) < 80
    assert stream.getvalue().count("\n") == 1
    assert "█" in stream.getvalue()
    assert "90 of 100" in stream.getvalue()


def test_a_step_that_fails_says_so(clock):
    stream = io.StringIO()
    with pytest.raises(ValueError, match="why"), Progress(stream, clock).step("mesh"):
        raise ValueError("why")
    assert stream.getvalue().splitlines()[-1] == "mesh: failed, 0:00"
