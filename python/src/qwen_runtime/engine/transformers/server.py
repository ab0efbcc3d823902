"""The contract over HTTP: chat, completions, models, health, metrics; every refusal in OpenAI's shape."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from qwen_runtime.engine import door
from qwen_runtime.engine.keep_alive import KeepAlive
from qwen_runtime.engine.request_log import RequestLog
from qwen_runtime.engine.transformers import refusals
from qwen_runtime.engine.transformers.admission import Limits
from qwen_runtime.engine.transformers.answer import Answer, Wanted
from qwen_runtime.engine.transformers.body import BodyLimit
from qwen_runtime.engine.transformers.generation import Generation
from qwen_runtime.engine.transformers.metrics import Metrics
from qwen_runtime.engine.transformers.prompts import Prompts
from qwen_runtime.engine.transformers.refusals import Refusal
from qwen_runtime.engine.transformers.schema import ChatRequest, CompletionRequest
from qwen_runtime.engine.transformers.shapes import Chat, Completion, Shape, Writer


@dataclass(frozen=True, slots=True)
class Served:
    name: str
    end_tokens: frozenset[int]
    sampling_defaults: dict[str, Any]
    """Sampling settings of the model's generation_config.json."""


class Server:
    """The application, and the death of its engine if there is one."""

    def __init__(
        self, served: Served, limits: Limits, generation: Generation, prompts: Prompts, metrics: Metrics
    ) -> None:
        self._served, self._limits, self._generation = served, limits, generation
        self._prompts, self._metrics = prompts, metrics
        self._started = int(time.time())
        self.failure: str | None = None
        self.on_failure: Callable[[], None] = lambda: None

    def app(self) -> FastAPI:
        app = FastAPI(title="qwen-runtime, engine transformers", lifespan=self._lifespan, docs_url=None, redoc_url=None)
        app.add_middleware(BodyLimit)
        app.add_middleware(KeepAlive)
        app.add_middleware(RequestLog)
        if door.VARIABLE in os.environ:
            app.add_middleware(door.Door)
        app.add_api_route("/health", self._health, methods=["GET"])
        app.add_api_route("/metrics", self._text_of_metrics, methods=["GET"])
        app.add_api_route("/v1/models", self._models, methods=["GET"])
        refused = {status: {"description": "refused"} for status in (400, 404, 413, 429, 500, 503, 504)}
        for path, endpoint in (("/v1/chat/completions", self._chat), ("/v1/completions", self._complete)):
            app.add_api_route(path, endpoint, methods=["POST"], responses=refused, response_model=None)
        app.add_exception_handler(Refusal, self._refuse)
        app.add_exception_handler(RequestValidationError, self._refuse_fields)
        app.add_exception_handler(HTTPException, self._refuse_http)
        return app

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self._generation.start()
        watch = asyncio.create_task(self._watch())
        yield
        watch.cancel()

    async def _watch(self) -> None:
        self.failure = await self._generation.wait_failure()
        self.on_failure()

    async def _health(self) -> Response:
        if failure := self._generation.failure:
            raise refusals.engine_dead(failure)
        return Response()

    async def _text_of_metrics(self) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _models(self) -> dict[str, Any]:
        model = {"id": self._served.name, "object": "model", "created": self._started, "owned_by": "qwen-runtime"}
        return {"object": "list", "data": [{**model, "max_model_len": self._limits.context_tokens}]}

    async def _chat(self, body: ChatRequest, request: Request) -> Response:
        arrived = time.perf_counter()
        self._check_model(body.model)
        prompt = await self._prompts.of_chat(body)
        shape = Chat(self._prompts.token_text, logprobs=body.wanted_logprobs() is not None)
        return await self._answer(body, prompt, "messages", shape, request, arrived)

    async def _complete(self, body: CompletionRequest, request: Request) -> Response:
        arrived = time.perf_counter()
        self._check_model(body.model)
        prompt = await self._prompts.of_completion(body)
        shape = Completion(self._prompts.token_text, logprobs=body.wanted_logprobs() is not None)
        return await self._answer(body, prompt, "prompt", shape, request, arrived)

    def _check_model(self, name: str | None) -> None:
        if name and name != self._served.name:
            raise refusals.unknown_model(name, self._served.name)

    async def _answer(
        self,
        body: ChatRequest | CompletionRequest,
        prompt: Sequence[int],
        prompt_field: str,
        shape: Shape,
        request: Request,
        arrived: float,
    ) -> Response:
        if body.stream_options is not None and not body.stream:
            raise refusals.bad_request("stream_options needs stream: true.", "stream_options")
        wanted_tokens, wanted_field = body.wanted_tokens()
        wanted = Wanted(
            prompt,
            self._limits.answer_tokens(len(prompt), wanted_tokens, prompt_field, wanted_field),
            body.sampling(self._served.sampling_defaults),
            body.stops(),
            frozenset() if body.ignore_eos else self._served.end_tokens,
        )
        answer = self._generation.submit(wanted, self._prompts.text_after(prompt), arrived)
        writer = Writer(shape, self._served.name, answer)
        if body.stream:
            return Stream(writer.stream(body.include_usage()), lambda: self._generation.cancel(answer))
        return await self._whole(writer, answer, request)

    async def _whole(self, writer: Writer, answer: Answer, request: Request) -> Response:
        """The answer, unless the client leaves before it is there."""
        writing = asyncio.create_task(writer.whole())
        leaving = asyncio.create_task(_disconnect(request))
        try:
            await asyncio.wait((writing, leaving), return_when=asyncio.FIRST_COMPLETED)
            return JSONResponse(await writing) if writing.done() else Response(status_code=499)  # nobody reads it
        finally:
            self._generation.cancel(answer)
            writing.cancel()
            leaving.cancel()

    async def _refuse(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        if error.status < 500:  # an engine's failure is counted where it is found
            self._metrics.error(error.cause)
        return JSONResponse(error.body(), error.status, error.headers())

    async def _refuse_fields(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return await self._refuse(request, _of_fields(error.errors()))

    async def _refuse_http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        cause = "not_found" if error.status_code in (404, 405) else "bad_request"
        return await self._refuse(request, Refusal(error.status_code, cause, error.detail))


def _of_fields(errors: Sequence[Any]) -> Refusal:
    """The refusal of wrong fields: names the first one, and says what is wrong with each."""
    if errors[0]["type"] == "json_invalid":
        return refusals.bad_request(f"The body is not JSON: {errors[0]['ctx']['error']}.", None)
    field = errors[0]["loc"][1:]
    faults = "; ".join(f"{'.'.join(map(str, error['loc'][1:])) or 'body'}: {_fault(error)}" for error in errors)
    return refusals.bad_request(faults, str(field[0]) if field else None)


def _fault(error: Any) -> str:
    return "this engine has no such field" if error["type"] == "extra_forbidden" else str(error["msg"])


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Stream(StreamingResponse):  # type: ignore[misc]
    """Ends the answer with the connection, wherever writing was interrupted."""

    def __init__(self, content: AsyncIterator[str], on_end: Callable[[], None]) -> None:
        super().__init__(content, media_type="text/event-stream")
        self._on_end = on_end

    async def __call__(self, *asgi: Any) -> None:
        try:
            await super().__call__(*asgi)
        finally:
            self._on_end()
