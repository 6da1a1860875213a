"""Blocks are found, pinned and forgotten as an engine's are."""

import random

from services.router.simulator.cache import BlockCache


def test_what_was_computed_is_found_again_up_to_the_first_block_that_differs() -> None:
    cache = BlockCache(10)
    first = cache.take((1, 2, 3), 0, 4)
    assert first is not None
    cache.publish(first, (1, 2, 3))
    assert cache.matched((1, 2, 9, 3), 4) == 2
    assert cache.matched((1, 2, 3), 1) == 1, "no more than asked for"
    cache.release(first)
    assert cache.matched((1, 2, 3), 3) == 3, "it stays when nobody runs"


def test_a_running_requests_blocks_are_never_forgotten() -> None:
    cache = BlockCache(4)
    first = cache.take((1, 2), 0, 3)
    assert first is not None
    cache.publish(first, (1, 2))
    assert cache.take((7, 8), 0, 2) is None, "there is one block left"
    assert cache.take((1, 2, 3), 2, 3) is not None, "of which two are there already"
    assert cache.matched((1, 2), 2) == 2


def test_the_least_recently_used_goes_first_and_of_one_request_its_end() -> None:
    cache = BlockCache(4)
    for blocks in ((1, 2), (3, 4)):
        holding = cache.take(blocks, 0, 2)
        assert holding is not None
        cache.publish(holding, blocks)
        cache.release(holding)
    taken = cache.take((5,), 0, 1)
    assert taken is not None
    assert 2 not in cache, "nothing stood on it"
    assert 1 in cache
    assert cache.matched((3, 4), 2) == 2


def test_whatever_happens_blocks_are_counted_once() -> None:
    for seed in range(60):
        chance, cache = random.Random(seed), BlockCache(30)
        running = []
        for _ in range(120):
            if running and chance.random() < 0.45:
                cache.release(running.pop(chance.randrange(len(running))))
                continue
            prefix = chance.randrange(4)
            blocks = tuple(prefix * 100 + at for at in range(chance.randint(0, 8)))
            need = len(blocks) + chance.randint(1, 4)
            hit = cache.matched(blocks, len(blocks))
            holding = cache.take(blocks, hit, need)
            if holding is None:
                continue
            cache.publish(holding, blocks[hit:])
            running.append(holding)
            assert cache.held == sum(one.own for one in running) + len({b for one in running for b in one.shared})
            assert cache.held + len(cache._idle) <= cache.capacity
            assert not cache._idle.keys() & cache._pinned.keys()
        for holding in running:
            cache.release(holding)
        assert cache.held == 0
