"""An engine that takes every step by itself, as slow as it is plain: what the fast one is compared with."""

import math
from collections.abc import Callable

from services.router.simulator.job import EngineModel, Job

# A thing that happens to an engine: when, what ("submit", "cancel", "speed", "stall"), and with what.
Happening = tuple[float, str, object]


class Stepper:
    """Plays a script against the model, one step after the other, with nothing planned ahead.

    It keeps its own account of blocks: a list in the order of their last use, and who holds them.
    """

    def __init__(self, model: EngineModel, speed: float) -> None:
        self.model, self.speed = model, speed
        self.stalled_until = -math.inf
        self.waiting: list[Job] = []
        self.running: list[dict[str, object]] = []
        self.leaving: set[int] = set()
        self.cached: list[int] = []
        self.log: list[tuple[str, int, float]] = []

    def play(self, script: list[Happening]) -> list[tuple[str, int, float]]:
        """What came of it: ("first" or "end", the job's owner, when)."""
        now, todo = 0.0, sorted(script, key=lambda happening: happening[0])
        while True:
            while todo and todo[0][0] <= now:
                self._happen(*todo.pop(0))
            if now < self.stalled_until and (self.waiting or self.running):
                later = [happening[0] for happening in todo if happening[0] < self.stalled_until]
                now = later[0] if later else self.stalled_until
                continue
            self._end(lambda entry: id(entry["job"]) in self.leaving)
            chunks = self._schedule()
            if not self.running:
                if not todo:
                    return self.log
                now = max(now, todo[0][0])
                continue
            decoding = [entry for entry in self.running if entry["tokens"]]
            seconds = self._seconds(decoding, chunks) / self.speed
            end = now + seconds
            while todo and todo[0][0] <= end:
                self._happen(*todo.pop(0))
            now = end
            self._account(decoding, chunks, now)

    def _happen(self, at: float, what: str, argument: object) -> None:
        if what == "submit":
            self.waiting.append(argument)
        elif what == "speed":
            self.speed = argument
        elif what == "stall":
            self.stalled_until = max(self.stalled_until, at + argument)
        elif argument in self.waiting:
            self.waiting.remove(argument)
        else:
            self.leaving.add(id(argument))

    def _held(self) -> int:
        shared = {block for entry in self.running for block in entry["shared"]}
        return sum(entry["own"] for entry in self.running) + len(shared)

    def _schedule(self) -> list[tuple[dict[str, object], int]]:
        model, size = self.model, self.model.block_tokens
        budget = model.step_tokens - sum(bool(entry["tokens"]) for entry in self.running)
        chunks = []
        for entry in self.running:
            if not entry["tokens"] and budget > 0:
                budget = self._chunk(entry, budget, chunks)
        while budget > 0 and self.waiting and len(self.running) < model.max_sequences:
            job = self.waiting[0]
            hit = 0
            for block in job.blocks[: (job.input_tokens - 1) // size]:
                if block not in self.cached:
                    break
                hit += 1
            need = -(-(job.input_tokens + job.output_tokens) // size)
            pinned = {block for entry in self.running for block in entry["shared"]}
            woken = len(set(job.blocks[:hit]) - pinned)
            if self._held() + woken + need - hit > model.blocks:
                break
            self.waiting.pop(0)
            entry = {"job": job, "read": hit * size, "tokens": 0, "own": need - hit, "shared": list(job.blocks[:hit])}
            self.running.append(entry)
            self._evict()
            budget = self._chunk(entry, budget, chunks)
        return chunks

    def _evict(self) -> None:
        pinned = {block for entry in self.running for block in entry["shared"]}
        idle = [block for block in self.cached if block not in pinned]
        for block in idle[: max(0, self._held() + len(idle) - self.model.blocks)]:
            self.cached.remove(block)

    def _chunk(self, entry: dict[str, object], budget: int, chunks: list[tuple[dict[str, object], int]]) -> int:
        job, size = entry["job"], self.model.block_tokens
        tokens = min(budget, job.input_tokens - entry["read"])
        pinned = {block for other in self.running for block in other["shared"]}
        for block in job.blocks[entry["read"] // size : (entry["read"] + tokens) // size]:
            if block not in pinned:
                entry["shared"].append(block)
                entry["own"] -= 1
                if block not in self.cached:
                    self.cached.append(block)
        chunks.append((entry, tokens))
        return budget - tokens

    def _seconds(self, decoding: list[dict[str, object]], chunks: list[tuple[dict[str, object], int]]) -> float:
        model = self.model
        seconds = model.step_seconds + model.sequence_seconds * len(self.running)
        for entry in decoding:
            seconds += model.kv_token_seconds * (entry["job"].input_tokens + entry["tokens"])
        for entry, tokens in chunks:
            seconds += tokens * model.prefill_token_seconds
            seconds += model.attention_seconds * tokens * (entry["read"] + tokens / 2)
        return seconds

    def _account(
        self, decoding: list[dict[str, object]], chunks: list[tuple[dict[str, object], int]], now: float
    ) -> None:
        for entry in decoding:
            entry["tokens"] += 1
        for entry, tokens in chunks:
            entry["read"] += tokens
            if entry["read"] == entry["job"].input_tokens:
                entry["tokens"] = 1
                self.log.append(("first", entry["job"].owner, now))
        # Those who decoded longest end first, as they were first in the batch.
        for entry in sorted(self.running, key=lambda entry: entry not in decoding):
            if entry["tokens"] == entry["job"].output_tokens:
                self.log.append(("end", entry["job"].owner, now))
        self._end(lambda entry: entry["tokens"] == entry["job"].output_tokens)

    def _end(self, over: Callable[[dict[str, object]], bool]) -> None:
        for entry in [entry for entry in self.running if over(entry)]:
            self.running.remove(entry)
            pinned = {block for other in self.running for block in other["shared"]}
            for block in reversed(entry["shared"]):
                if block not in pinned:
                    self.cached.remove(block)
                    self.cached.append(block)
