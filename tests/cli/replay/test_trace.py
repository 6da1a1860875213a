"""What the simulator is given is what it reads, and what was asked."""

import json
import pathlib

from services.cli.replay import trace
from services.cli.replay.past import Asked
from services.router.simulator.traffic import trace as simulated


def read(tmp_path: pathlib.Path, requests: list[Asked]) -> list[simulated.Request]:
    file = tmp_path / "trace.jsonl"
    file.write_text("".join(trace.lines(requests, "m")))
    return list(simulated.read(file))


def test_the_simulator_reads_times_lengths_and_shared_blocks(tmp_path: pathlib.Path) -> None:
    common = list(range(-100, -84))
    first, second, third = read(
        tmp_path,
        [
            Asked(1000.0, 1100, 50, [*common, 7, 8]),
            Asked(1001.5, 1600, 60, [*common, *range(8)]),
            Asked(1002.0, 700, 70, list(range(50, 70))),
        ],
    )
    assert [(one.at, one.input_tokens, one.output_tokens) for one in (first, second, third)] == [
        (0.0, 1100, 50),
        (1.5, 1600, 60),
        (2.0, 700, 70),
    ]
    assert first.blocks == second.blocks[:2]
    assert (len(first.blocks), len(second.blocks), len(third.blocks)) == (2, 3, 1)
    assert third.blocks[0] not in second.blocks


def test_names_of_blocks_do_not_leave_the_ledger() -> None:
    (line,) = trace.lines([Asked(0.0, 1100, 5, [123456789] * 16)], "m")
    assert json.loads(line)["hash_ids"] == [0, 0]
    assert "123456789" not in line


def test_long_gaps_are_cut(tmp_path: pathlib.Path) -> None:
    at = [0.0, 10.0, 100_000.0, 100_001.0]
    assert [one.at for one in read(tmp_path, [Asked(when, 10, 1) for when in at])] == [0.0, 10.0, 70.0, 71.0]


def test_answers_that_are_not_whole_would_have_had_the_median(tmp_path: pathlib.Path) -> None:
    requests = [Asked(float(at), 10, output) for at, output in enumerate((10, None, 30, 1000))]
    assert [one.output_tokens for one in read(tmp_path, requests)] == [10, 30, 30, 1000]
    assert trace.usual_answer([Asked(0.0, 1, None)]) == 300
