"""A recorder over a real spool, by itself."""

import contextlib
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry

from services.chassis import ids
from services.gateway.content.hashing import Hasher
from services.gateway.content.keeping import open_contents
from services.gateway.pricing.book import PriceBook
from services.gateway.recorder import Recorder
from services.gateway.request_metrics import RequestMetrics
from services.gateway.spool.spool import Spool
from tests.gateway.scene import CONFIG, MODEL


@contextlib.asynccontextmanager
async def open_recorder(spool: Spool, book: PriceBook | None = None) -> AsyncIterator[Recorder]:
    """The recorder of a gateway that has just started."""
    registry = CollectorRegistry()
    async with open_contents(spool, Hasher(b"k" * 32), registry) as contents:
        yield Recorder(
            spool,
            RequestMetrics(registry),
            contents,
            run=ids.new_id(),
            config_version="v",
            models={MODEL: MODEL},
            book=book or PriceBook(CONFIG),
        )
