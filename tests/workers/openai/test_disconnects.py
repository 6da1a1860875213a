"""A thousand callers who leave at random moments."""

import random

import pytest

from tests.vendors.openai_server import Asked, Script, chunk, sse, text
from tests.workers.disconnects import MOST_BYTES, leave_at_random
from tests.workers.openai.test_provider import KEYS, serving, spec

_LONG = sse(*[chunk({"content": "word "})] * 1000)


@pytest.mark.slow
async def test_a_thousand_callers_who_leave_leave_nothing_behind() -> None:
    rng = random.Random(1)

    def answer(asked: Asked) -> Script:
        """Silent for a while or not, then slow; some answer before anybody can leave."""
        if rng.random() < 0.2:
            return Script(text("a"))
        return Script(_LONG, delay=rng.choice([0, 0, 0.02, 60]), event_delay=0.002)

    async with serving(answer, KEYS) as (provider, fake):
        report = await leave_at_random(
            provider,
            spec(),
            # Connections that were read to their end are kept for others, with nobody on them.
            lambda: not fake.busy and not provider.leases,
            forget=fake.asked.clear,
        )
        print(report)
        assert report.left > 700
        assert report.slowest_seconds < 1
        assert report.grown_bytes < MOST_BYTES
        assert report.grown_objects < 500
        assert provider.leases == provider.load().running == 0
