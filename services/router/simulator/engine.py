"""One engine with continuous batching, whose stretches of pure decoding are taken in one stride.

Every step runs each decoding sequence for one token and fills what is left of its token budget with prompts, first come
first served, in chunks. How long a step takes is the preliminary model of `EngineModel`. While no prompt waits, steps
differ only in a cache that grows by one token for each sequence, so that the time of k steps is a polynomial in k: the
engine plans all steps up to the next end of a sequence at once, and is cut short where something comes in between.
"""

import heapq
import math
from collections import deque
from typing import NamedTuple

from services.router.simulator.cache import BlockCache
from services.router.simulator.job import EngineModel, Job
from services.router.simulator.stride import Stride

NEVER = math.inf
_PAUSE = Stride(0.0, 0, 0.0, 0.0)


class Progress(NamedTuple):
    """What a step brought: the jobs whose first token came, and the jobs that ended, in order."""

    begun: list[Job]
    ended: list[Job]


class Engine:
    """The state of one engine. Whoever runs it calls `advance` at `wakes_at`, and tells it all else as it happens."""

    def __init__(self, model: EngineModel, speed: float = 1.0) -> None:
        self.model = model
        self.speed = speed
        self.cache = BlockCache(model.blocks)
        self.wakes_at = NEVER
        self.hit_tokens = 0
        self.query_tokens = 0
        self.queued_tokens = 0
        self._waiting: deque[Job] = deque()
        self._prefilling: list[Job] = []
        self._ends: list[tuple[int, int, Job]] = []  # of decoding jobs: last step, number, job
        self._decoding = 0
        self._kv_tokens = 0  # that the next step reads
        self._step = 0
        self._number = 0
        self._emitted = 0
        self._stalled_until = -NEVER
        self._blocked = False  # the first in line found no room; only an end can change that
        self._leaving: list[Job] = []
        self._stride = _PAUSE
        self._chunks: list[tuple[Job, int]] = []

    @property
    def running(self) -> int:
        """Sequences in the batch."""
        return self._decoding + len(self._prefilling)

    @property
    def waiting(self) -> int:
        """Jobs that are not in the batch yet."""
        return len(self._waiting)

    def fits(self, job: Job) -> bool:
        """Whether the job could run if it were alone."""
        return self._need(job) <= self.model.blocks

    def submit(self, job: Job, now: float) -> None:
        """A job arrives. It must fit."""
        self._waiting.append(job)
        self.queued_tokens += job.input_tokens
        if self.wakes_at == NEVER:
            # The step begins at this moment, with whatever else comes at it.
            self._stride = _PAUSE
            self.wakes_at = max(now, self._stalled_until)
        elif not self._blocked:
            self._cut(now)

    def cancel(self, job: Job, now: float) -> None:
        """Nobody wants the job any more: it leaves at the end of the step under way."""
        if job.ended:
            return
        if job.hit < 0:
            self._waiting.remove(job)
            job.ended = True
            self.queued_tokens -= job.input_tokens
            self._blocked = False
            if self.wakes_at != NEVER:
                self._cut(now)
            return
        self._leaving.append(job)
        self._cut(now)

    def jobs(self) -> list[Job]:
        """Every job that is here, those that have begun first, in the order they came."""
        decoding = [job for _, _, job in sorted(self._ends, key=lambda end: end[1])]
        return [job for job in (*decoding, *self._prefilling, *self._waiting) if not job.ended]

    def set_speed(self, speed: float, now: float) -> None:
        """Steps that begin from now on take this speed; 1 is the model's own."""
        self.speed = speed
        self._cut(now)

    def stall(self, until: float, now: float) -> None:
        """No step begins before that time. The one under way is finished."""
        self._stalled_until = max(self._stalled_until, until)
        self._cut(now)

    def produced(self, job: Job, now: float) -> int:
        """Tokens that the job has had by then."""
        if job.last_step < 0:
            return 0
        steps = self._step + (0 if self._chunks else self._stride.complete_by(now))
        return min(job.output_tokens, job.output_tokens - (job.last_step - steps))

    def emitted_by(self, now: float) -> int:
        """Tokens that all jobs have had by then."""
        return self._emitted + (0 if self._chunks else self._stride.complete_by(now) * self._decoding)

    def advance(self) -> Progress:
        """The planned steps are over, at `wakes_at`: what they brought. Plans the next ones."""
        now, progress = self.wakes_at, Progress([], [])
        steps = self._stride.steps
        if steps:
            self._step += steps
            self._kv_tokens += steps * self._decoding
            self._emitted += steps * self._decoding
            ends = self._ends
            while ends and ends[0][0] <= self._step:
                job = heapq.heappop(ends)[2]
                if not job.ended:
                    self._end_decoding(job)
                    progress.ended.append(job)
            if self._chunks:
                self._read(progress)
        if self._leaving:
            self._leave()
        self._plan(now)
        return progress

    def _need(self, job: Job) -> int:
        return -(-(job.input_tokens + job.output_tokens) // self.model.block_tokens)

    def _end_decoding(self, job: Job) -> None:
        # What it read in a further step: its prompt, and the tokens it has by then.
        self._kv_tokens -= job.input_tokens + job.output_tokens - (job.last_step - self._step)
        self._decoding -= 1
        self._release(job)

    def _release(self, job: Job) -> None:
        job.ended = True
        if job.holding is not None:
            self.cache.release(job.holding)
        self._blocked = False

    def _read(self, progress: Progress) -> None:
        """Account for the prompt chunks of the step that is over."""
        for job, tokens in self._chunks:
            self.queued_tokens -= tokens
            job.read += tokens
            if job.read < job.input_tokens:
                continue
            self._prefilling.remove(job)
            self._emitted += 1
            progress.begun.append(job)
            job.last_step = self._step + job.output_tokens - 1
            if job.output_tokens == 1:
                self._release(job)
                progress.ended.append(job)
                continue
            self._decoding += 1
            self._kv_tokens += job.input_tokens + 1
            self._number += 1
            heapq.heappush(self._ends, (job.last_step, self._number, job))
        self._chunks = []

    def _leave(self) -> None:
        for job in self._leaving:
            if job.ended:
                continue
            if job.last_step >= 0:
                self._end_decoding(job)
            else:
                self._prefilling.remove(job)
                self.queued_tokens -= job.input_tokens - job.read
                self._release(job)
        self._leaving = []

    def _plan(self, now: float) -> None:
        """Plan from now: one step with prompts in it, or all steps until a sequence ends."""
        self._stride = _PAUSE
        if now < self._stalled_until:
            self.wakes_at = self._stalled_until if self.running or self._waiting else NEVER
            return
        ends = self._ends
        while ends and ends[0][2].ended:
            heapq.heappop(ends)
        model = self.model
        work = self._fill(model.step_tokens - self._decoding) if self._prefilling or self._waiting else 0.0
        sequences = self._decoding + len(self._prefilling)
        if not sequences:
            self.wakes_at = NEVER
            return
        base = model.step_seconds + model.sequence_seconds * sequences + model.kv_token_seconds * self._kv_tokens
        growth = model.kv_token_seconds * self._decoding / self.speed
        steps = 1 if self._chunks else ends[0][0] - self._step
        self._stride = Stride(now, steps, (base + work) / self.speed, growth)
        self.wakes_at = self._stride.ends_at

    def _fill(self, budget: int) -> float:
        """Choose the prompt chunks of the next step. Returns the seconds they add at speed 1."""
        seconds = 0.0
        for job in self._prefilling:
            if budget <= 0:
                break
            tokens = min(budget, job.input_tokens - job.read)
            budget -= tokens
            seconds += self._chunk(job, tokens)
        while budget > 0 and self._waiting and not self._blocked:
            job = self._waiting[0]
            if self.running >= self.model.max_sequences or not self._admit(job):
                self._blocked = True
                break
            self._waiting.popleft()
            self._prefilling.append(job)
            tokens = min(budget, job.input_tokens - job.read)
            budget -= tokens
            seconds += self._chunk(job, tokens)
        return seconds

    def _admit(self, job: Job) -> bool:
        size = self.model.block_tokens
        # At least the last token of a prompt has to be read, for there to be an answer.
        hit = self.cache.matched(job.blocks, (job.input_tokens - 1) // size)
        holding = self.cache.take(job.blocks, hit, self._need(job))
        if holding is None:
            return False
        job.holding = holding
        job.hit = job.read = hit * size
        self.queued_tokens -= job.hit
        self.hit_tokens += job.hit
        self.query_tokens += job.input_tokens
        return True

    def _chunk(self, job: Job, tokens: int) -> float:
        self._chunks.append((job, tokens))
        size, model = self.model.block_tokens, self.model
        if job.blocks and job.holding is not None:
            # As in vLLM, what a step computes can be shared from that step on.
            self.cache.publish(job.holding, job.blocks[job.read // size : (job.read + tokens) // size])
        return tokens * (model.prefill_token_seconds + model.attention_seconds * (job.read + tokens / 2))

    def _cut(self, now: float) -> None:
        """Something changed: plan anew at the end of the step under way."""
        if self.wakes_at == NEVER:
            return
        if self._stride.steps:
            self._stride.cut(now)
            self.wakes_at = self._stride.ends_at
        else:
            self.wakes_at = max(now, self._stalled_until)
