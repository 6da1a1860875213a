"""How fast a provider is follows from what its attempts took."""

import dataclasses
import random

import pytest

from services.cli.replay import fit
from services.cli.replay.past import Served


def engine_attempts(
    count: int, *, step: float, sequence: float, prompt_token: float, seed: int = 1, noise: float = 0.0
) -> list[Served]:
    """Attempts at two engines that take exactly so long, up to noise; up to eight at once."""
    chance, made, now = random.Random(seed), [], 0.0
    while len(made) < count:
        together, worker = chance.randint(1, 8), f"w-{chance.randint(0, 1)}"
        tokens = chance.randint(20, 200)
        each = (step + sequence * together) * chance.uniform(1 - noise, 1 + noise)
        for _ in range(together):
            uncached = chance.randint(10, 4000)
            first = now + prompt_token * uncached
            made.append(Served("p", "m", worker, now, first + each * (tokens - 1), first, True, "", uncached, tokens))
        now += 100.0
    return made


def vendor_attempts(count: int, *, failing: int = 0) -> list[Served]:
    """Attempts of 100 tokens at a vendor, 50 a second after 0.6 s, and some that failed."""
    times = [index * 10.0 for index in range(count)]
    whole = [Served("v", "m", "v-0", at, at + 0.6 + 99 / 50, at + 0.6, True, "", 500, 100) for at in times]
    broken = [Served("v", "m", "v-0", at, at + 0.2, None, False, "PROVIDER_UNAVAILABLE") for at in times[:failing]]
    return whole + broken


def test_an_engine_is_known_by_its_steps_its_batch_and_its_reading() -> None:
    found = fit.engine(engine_attempts(400, step=0.01, sequence=0.0005, prompt_token=2e-4))
    assert found is not None
    assert found.step == pytest.approx(0.01, rel=0.1)
    assert found.sequence == pytest.approx(0.0005, rel=0.2)
    assert found.prompt_token == pytest.approx(2e-4, rel=0.01)
    assert found.before == 0
    assert found.attempts >= 400


def test_what_comes_before_reading_is_no_part_of_it() -> None:
    late = [dataclasses.replace(one, first_at=(one.first_at or 0) + 0.3, ended_at=one.ended_at + 0.3)
            for one in engine_attempts(400, step=0.01, sequence=0.0005, prompt_token=2e-4)]  # fmt: skip
    found = fit.engine(late)
    assert found is not None
    assert found.before == pytest.approx(0.3, abs=0.02)
    assert found.prompt_token == pytest.approx(2e-4, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_noise_moves_it_little(seed: int) -> None:
    found = fit.engine(engine_attempts(600, step=0.01, sequence=0.0005, prompt_token=2e-4, seed=seed, noise=0.2))
    assert found is not None
    assert found.step + 4 * found.sequence == pytest.approx(0.012, rel=0.1)


def test_a_vendor_is_known_by_medians_and_by_how_often_it_fails() -> None:
    found = fit.vendor(vendor_attempts(90, failing=10))
    assert found is not None
    assert (found.first_seconds, found.tokens_per_second) == (pytest.approx(0.6), pytest.approx(50))
    assert (found.error_share, found.attempts) == (0.1, 100)
    assert found.first_sigma == pytest.approx(0, abs=1e-6)


def test_too_few_attempts_tell_nothing() -> None:
    assert fit.engine([]) is None
    assert fit.engine(engine_attempts(fit.LEAST, step=0.01, sequence=0, prompt_token=0)[: fit.LEAST - 1]) is None
    assert fit.vendor(vendor_attempts(fit.LEAST - 1)) is None
    failed = [Served("p", "m", "w", 0.0, 1.0, None, False, "WORKER_LOST")] * 100
    assert (fit.engine(failed), fit.vendor(failed)) == (None, None)


def test_a_line_never_falls_and_never_begins_below_nothing() -> None:
    assert fit.line([(0, 3.0), (1, 2.0), (2, 1.0)]) == fit.Line(2.0, 0.0)
    assert fit.line([(5, 1.0), (5, 3.0)]) == fit.Line(2.0, 0.0)
    through = fit.line([(10, 5.0), (20, 25.0)])
    assert through == fit.Line(0.0, pytest.approx(1.1))


def test_who_ran_beside_an_attempt_is_counted_for_as_long_as_it_did() -> None:
    long = Served("p", "m", "w", 0.0, 10.0, 0.0)
    half = Served("p", "m", "w", 5.0, 10.0, 5.0)
    elsewhere = Served("p", "m", "other", 0.0, 10.0, 0.0)
    running = fit.Running([long, half, elsewhere])
    assert (running.mean(long), running.mean(half), running.mean(elsewhere)) == (1.5, 2.0, 1.0)
    assert (running.at_placement(long), running.at_placement(half)) == (1, 2)
