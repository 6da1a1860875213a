"""Which of many targets are looked at."""

import random

from services.router.policies.sampling import worth_a_look
from tests.router.policies.targets import pool, request


def test_of_few_targets_all_are_looked_at() -> None:
    served = pool(32)
    assert worth_a_look(request(served), served.targets, (), random.Random(1)) is served.targets


def test_of_many_those_that_have_the_prompt_are_looked_at_and_a_few_others() -> None:
    served = pool(100)
    asked = request(served)
    asked.hits = {7: 640, 8: 128, 9: 64, 10: 64, 11: 32}
    looked = [target.position for target in worth_a_look(asked, served.targets, (50,), random.Random(1))]
    assert {7, 8, 9, 10, 50} <= set(looked)
    assert 5 < len(looked) <= 9
    assert looked == sorted(looked)


def test_those_that_may_not_take_it_are_not_looked_at() -> None:
    served = pool(100)
    asked = request(served)
    asked.hits = {99: 640}
    looked = worth_a_look(asked, served.targets[:50], (98,), random.Random(1))
    assert {target.position for target in looked} <= set(range(50))
