"""The engine's strides bring what single steps bring."""

import math
import random

import pytest

from services.router.simulator.engine import NEVER, Engine
from services.router.simulator.job import EngineModel, Job
from tests.router.simulator.stepper import Happening, Stepper


def _job(owner: int, chance: random.Random, model: EngineModel) -> Job:
    tokens = chance.choice((1, 7, 16, 33, 64, 100, 250))
    prefix = chance.randrange(3)
    whole = tokens // model.block_tokens
    shared = min(whole, chance.choice((0, 2, 5)))
    blocks = (*(prefix * 100 + at for at in range(shared)), *(owner * 1000 + at for at in range(shared, whole)))
    return Job(tokens, chance.choice((1, 2, 5, 40, 90)), tuple(blocks), owner)


def _script(seed: int, model: EngineModel) -> list[Happening]:
    chance, now, script = random.Random(seed), 0.0, []
    for owner in range(chance.randint(3, 25)):
        now += chance.choice((0.0, 0.001, 0.03, 0.2, 3.0))
        job = _job(owner, chance, model)
        script.append((now, "submit", job))
        if chance.random() < 0.2:
            script.append((now + chance.choice((0.0001, 0.01, 0.3)), "cancel", job))
    if seed % 3 == 0:
        script += [(0.11, "speed", 0.3), (0.52, "speed", 1.7)]
    if seed % 4 == 0:
        script += [(0.205, "stall", 0.4), (0.4001, "stall", 0.3)]
    return script


def _played(engine: Engine, script: list[Happening]) -> list[tuple[str, int, float]]:
    log, todo = [], sorted(script, key=lambda happening: happening[0])
    while todo or engine.wakes_at != NEVER:
        if todo and todo[0][0] <= engine.wakes_at:
            at, what, argument = todo.pop(0)
            match what:
                case "submit":
                    engine.submit(argument, at)
                case "cancel":
                    engine.cancel(argument, at)
                case "speed":
                    engine.set_speed(argument, at)
                case "stall":
                    engine.stall(at + argument, at)
            continue
        at = engine.wakes_at
        begun, ended = engine.advance()
        log += [("first", job.owner, at) for job in begun] + [("end", job.owner, at) for job in ended]
    return log


@pytest.mark.parametrize("part", range(4))
def test_strides_bring_what_single_steps_bring(part: int) -> None:
    for seed in range(part * 60, part * 60 + 60):
        chance = random.Random(-seed)
        model = EngineModel(
            step_tokens=chance.choice((40, 120, 500)),
            max_sequences=chance.choice((2, 5, 64)),
            block_tokens=16,
            blocks=chance.choice((22, 40, 400)),
            kv_token_seconds=chance.choice((0.0, 4.4e-8, 1e-5)),
        )
        fast = _played(Engine(model, 0.8), _script(seed, model))
        plain = Stepper(model, 0.8).play(_script(seed, model))
        key = [(what, owner) for what, owner, _ in sorted(fast, key=lambda entry: (round(entry[2], 7), entry[:2]))]
        assert key == [entry[:2] for entry in sorted(plain, key=lambda entry: (round(entry[2], 7), entry[:2]))], seed
        times = {entry[:2]: entry[2] for entry in plain}
        assert all(math.isclose(at, times[what, owner], rel_tol=1e-9) for what, owner, at in fast), seed


def test_everything_is_given_back_at_the_end() -> None:
    for seed in range(40):
        model = EngineModel(step_tokens=60, max_sequences=6, block_tokens=16, blocks=40)
        engine = Engine(model)
        _played(engine, _script(seed, model))
        assert (engine.running, engine.waiting, engine.queued_tokens, engine.cache.held) == (0, 0, 0, 0)
        assert engine._kv_tokens == 0
