"""Blocks of the prompts that a worker has lately been sent, for routers that did not send them."""

from collections import deque
from collections.abc import Sequence

from hybridinference.inference.v1 import worker_status_pb2 as worker_status

# Bounds of one report: 32 KiB of hashes. What does not fit is dropped, since all of it is only a hint.
_PROMPTS = 64
_BLOCKS = 64


class Prefixes:
    """The last prompts, numbered as they come; each watcher is told those that it has not heard of."""

    def __init__(self) -> None:
        self._recent: deque[worker_status.PrefixBlocks] = deque(maxlen=_PROMPTS)
        self.count = 0

    def note(self, model: str, hashes: Sequence[int]) -> None:
        """A prompt has come, with keyed hashes of its leading blocks; none where nobody has counted them."""
        if hashes:
            self._recent.append(worker_status.PrefixBlocks(model=model, hashes=hashes[:_BLOCKS]))
            self.count += 1

    def since(self, count: int) -> list[worker_status.PrefixBlocks]:
        """Prompts that came after so many, oldest first, as far as they are still known."""
        new = min(self.count - count, len(self._recent))
        return list(self._recent)[len(self._recent) - new :] if new else []
