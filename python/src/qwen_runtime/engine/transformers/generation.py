"""Generates answers with transformers' ContinuousBatchingManager: its input, its output, and its death.

All methods run on the event loop's thread; the manager computes on a thread of its own.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import ContinuousBatchingConfig, GenerationConfig

from qwen_runtime.engine.transformers import refusals
from qwen_runtime.engine.transformers.admission import Admission, Limits
from qwen_runtime.engine.transformers.answer import Answer, Wanted
from qwen_runtime.engine.transformers.metrics import Metrics
from qwen_runtime.engine.transformers.prompts import Detokenizer
from qwen_runtime.engine.transformers.sampler import KEYWORD, Sampler

PULSE_S = 0.25
"""How often the manager's thread is looked at."""


def make_manager(model: Any, limits: Limits, max_batch_tokens: int, on_step: Callable[[int, int], None]) -> Any:
    """A ContinuousBatchingManager whose tokens the Sampler chooses. All ranks of a model come together here."""
    manager = model.init_continuous_batching(
        # A token ends an answer only where the request says so, and the choice of tokens is the sampler's.
        GenerationConfig(do_sample=False, eos_token_id=-1),
        ContinuousBatchingConfig(
            page_size=limits.page_tokens,
            num_blocks=limits.pages,
            max_batch_tokens=max_batch_tokens,
            safety_margin=0.0,  # every request that it sees has all its pages already
            auto_switch_to_flash=False,  # which attention runs was chosen, with a reason, when the model was loaded
            use_cuda_graph=False,
            use_async_batching=False,
        ),
    )
    manager.logit_processor = Sampler(on_step, manager.distributed_helper)
    return manager


@dataclass(slots=True)
class Clock:
    """Times of one request, in seconds of time.perf_counter, the manager's own clock."""

    arrived: float
    last_token: float | None = None


class Generation:
    def __init__(self, model: Any, limits: Limits, max_batch_tokens: int, timeout_s: float, metrics: Metrics) -> None:
        self._limits, self._timeout_s, self._metrics = limits, timeout_s, metrics
        self._admission = Admission(limits)
        self._answers: dict[str, Answer] = {}
        self._clocks: dict[str, Clock] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._manager = make_manager(model, limits, max_batch_tokens, self._note_step)
        metrics.watch("num_requests_running", "Requests that are being answered.", lambda: self._admission.running)
        metrics.watch("num_requests_waiting", "Requests that wait for a place.", lambda: self._admission.waiting)
        metrics.watch("kv_cache_usage_perc", "Share of the KV cache that holds tokens; 1 is full.", self._used_share)
        metrics.watch(
            "kv_cache_reserved_perc",
            "Share of the KV cache that is set aside for whole answers; 1 is full.",
            lambda: self._admission.reserved_share,
        )

    def start(self) -> None:
        self._manager.start()

    def stop(self, timeout_s: float) -> None:
        self._manager.stop(block=True, timeout=timeout_s, hard_stop=True)

    @property
    def failure(self) -> str | None:
        """Why no request will be answered any more."""
        error = self._manager.background_thread_status.fatal_error
        if error is not None:
            return f"{type(error).__name__}: {error}"
        return None if self._manager.is_running() else "its thread has ended"

    async def wait_failure(self) -> str:
        while (failure := self.failure) is None:
            await asyncio.sleep(PULSE_S)
        for answer in list(self._answers.values()):
            self._fail(answer, refusals.engine_failed(failure))
        return failure

    def submit(self, wanted: Wanted, detokenizer: Detokenizer, arrived: float) -> Answer:
        """Queues a request, or raises a Refusal. The caller must call `cancel` when it is done with the answer.

        arrived: a time of time.perf_counter.
        """
        if failure := self.failure:
            raise refusals.engine_dead(failure)
        answer = Answer(uuid.uuid4().hex, wanted, detokenizer)
        self._admission.enter(answer.key, len(wanted.prompt) + wanted.max_tokens)
        self._answers[answer.key] = answer
        self._clocks[answer.key] = Clock(arrived)
        left_s = arrived + self._timeout_s - time.perf_counter()
        self._timers[answer.key] = asyncio.get_running_loop().call_later(left_s, self._expire, answer)
        self._admit()
        return answer

    def cancel(self, answer: Answer) -> None:
        """Ends an answer that nobody waits for any more; nothing where it has ended already."""
        if answer.key in self._answers:
            self._take_back(answer)
            self._close(answer, "abort")

    def _admit(self) -> None:
        for key in self._admission.admit():
            answer = self._answers[str(key)]
            self._manager.register_result_handler(answer.key, self._deliver)
            self._manager.add_request(
                answer.wanted.prompt,
                request_id=answer.key,
                max_new_tokens=answer.wanted.max_tokens,
                eos_token_id=sorted(answer.wanted.end_tokens),
                streaming=True,
                **{KEYWORD: answer.choices},
            )

    def _deliver(self, output: Any) -> None:
        answer = self._answers.get(output.request_id)
        if answer is None:
            return  # cancelled while this was on its way
        if output.error is not None:
            self._fail(answer, refusals.engine_failed(output.error))
            return
        before = len(answer.tokens)
        answer.grow(output.generated_tokens[before:])
        self._note_tokens(answer, len(answer.tokens) - before, started=output.lifespan[0])
        if answer.ended:
            if not output.is_finished():
                self._take_back(answer)  # ended by a stop string, which the manager does not know
            self._close(answer, str(answer.finish_reason))

    def _expire(self, answer: Answer) -> None:
        self._take_back(answer)
        self._fail(answer, refusals.too_slow(self._timeout_s))

    def _fail(self, answer: Answer, refusal: refusals.Refusal) -> None:
        answer.fail(refusal)
        self._metrics.error(refusal.cause)
        self._close(answer, "error")

    def _take_back(self, answer: Answer) -> None:
        """Cancels in the manager, which does so before it takes new requests: the pages are free for the next one."""
        self._manager.cancel_request(answer.key)
        self._manager.output_router.result_handlers.pop(answer.key, None)  # it forgets only what it finishes itself

    def _close(self, answer: Answer, reason: str) -> None:
        del self._answers[answer.key]
        self._timers.pop(answer.key).cancel()
        clock = self._clocks.pop(answer.key)
        self._metrics.whole.observe(time.perf_counter() - clock.arrived)
        self._metrics.finished(reason)
        self._admission.leave(answer.key)
        if self.failure is None:
            self._admit()

    def _note_tokens(self, answer: Answer, count: int, started: float) -> None:
        now, clock = time.perf_counter(), self._clocks[answer.key]
        self._metrics.generation_tokens.inc(count)
        if clock.last_token is None:
            self._metrics.prompt_tokens.inc(len(answer.wanted.prompt))
            self._metrics.first_token.observe(now - clock.arrived)
            self._metrics.queue.observe(max(0.0, started - clock.arrived))
        else:
            self._metrics.between_tokens.observe(now - clock.last_token)
        clock.last_token = now

    def _note_step(self, requests: int, tokens: int) -> None:
        self._metrics.step_batch.observe(requests)
        self._metrics.step_tokens.observe(tokens)

    def _used_share(self) -> float:
        used = [len(answer.wanted.prompt) + len(answer.tokens) for answer in self._answers.values() if answer.tokens]
        return sum(-(-tokens // self._limits.page_tokens) for tokens in used) / self._limits.pages
