"""The requests that ended last at this gateway, and sums of all since it started."""

import collections
from collections.abc import Iterator

from hybridinference.gateway.v1 import ledger_pb2 as ledger

# A record without a prompt is some kilobytes; twice as many as a page asks for, since of several keys each has a share.
MOST = 400

_NO_FAILURES = (ledger.OUTCOME_SUCCESS, ledger.OUTCOME_CANCELLED)


class Recent:
    """Records as the ledger has them; of more than `most` the oldest are forgotten."""

    def __init__(self, most: int = MOST) -> None:
        self._records: collections.deque[ledger.LedgerRecord] = collections.deque(maxlen=most)
        self.running = 0
        self.count = 0
        self.failed = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_nano_usd = 0

    def begins(self) -> None:
        """A request has been accepted."""
        self.running += 1

    def ended(self, record: ledger.LedgerRecord) -> None:
        """A request has ended. Its record is kept as it is."""
        request = record.request
        self._records.append(record)
        self.running -= 1
        self.count += 1
        self.failed += request.outcome not in _NO_FAILURES
        self.input_tokens += request.usage.input_tokens
        self.output_tokens += request.usage.output_tokens
        self.cost_nano_usd += request.cost_nano_usd

    def latest(self, *, key_id: str | None = None) -> Iterator[ledger.LedgerRecord]:
        """Those that are kept, the latest first; with a key's id, its own alone."""
        for record in reversed(self._records):
            if key_id is None or record.request.key_id == key_id:
                yield record
