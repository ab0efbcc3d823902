"""The address of an endpoint, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp

from qwen_runtime.endpoint import VARIANT
from qwen_runtime.errors import HostError, UsageError

CONNECT_S = 10.0
DESCRIBE_S = 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    url: str
    """Address up to and including /v1, without a slash at its end."""
    api_key: str
    model: str
    variant: str | None = None
    """The entry of the gateway that is to answer, where several share the name."""

    @property
    def headers(self) -> dict[str, str]:
        key = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return key | ({VARIANT: self.variant} if self.variant else {})


@dataclass(frozen=True, slots=True)
class Description:
    """The first or the named model of an endpoint, and the version of its engine where it tells one."""

    model: str
    context_tokens: int | None
    engine_version: str | None
    variant: str | None = None


async def describe(url: str, api_key: str, model: str | None, variant: str | None = None) -> Description:
    """Description of a model. UsageError where the endpoint does not list it or another variant than the wanted one
    answers, HostError where nothing answers."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"endpoint {url!r}", "http://HOST:PORT/v1 or https://HOST/v1", "Correct the address.")
    bare = Endpoint(url.rstrip("/"), api_key, model or "", variant)
    timeout = aiohttp.ClientTimeout(total=DESCRIBE_S, sock_connect=CONNECT_S)
    async with aiohttp.ClientSession(headers=bare.headers, timeout=timeout) as session:
        listed = await _models(session, bare.url)
        entry = _choose(listed, model, bare.url)
        if variant:
            await _refuse_another_variant(session, bare.url, str(entry["id"]), variant)
        return Description(
            model=str(entry["id"]),
            context_tokens=entry.get("max_model_len"),
            engine_version=await _engine_version(session, bare.url),
            variant=variant,
        )


async def _models(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    try:
        async with session.get(f"{url}/models") as answer:
            if answer.status != 200:
                raise UsageError(
                    f"{url}/models answered {answer.status}", "200 and a list of models", "Correct address or key."
                )
            return [dict(entry) for entry in (await answer.json(content_type=None))["data"]]
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise HostError(
            f"{url} does not answer ({error or type(error).__name__})",
            "an OpenAI-compatible endpoint there",
            "Correct --endpoint, or see whether the gateway runs.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise HostError(
            f"{url}/models is not a list of models ({error!r})", "an OpenAI-compatible endpoint", "Correct the address."
        ) from error


def _choose(listed: list[dict[str, Any]], model: str | None, url: str) -> dict[str, Any]:
    if not listed:
        raise UsageError(f"{url} serves no model", "a model to measure", "Start one, or correct --endpoint.")
    if model is None:
        return listed[0]
    chosen = [entry for entry in listed if entry.get("id") == model]
    if not chosen:
        names = ", ".join(str(entry.get("id")) for entry in listed)
        raise UsageError(f"{url} does not serve {model!r}", f"one of: {names}", "Correct --model.")
    return chosen[0]


async def _refuse_another_variant(session: aiohttp.ClientSession, url: str, model: str, variant: str) -> None:
    """One token is asked for: an endpoint that knows no variants would answer every request as another one."""
    body = {"model": model, "prompt": "a", "max_tokens": 1}
    try:
        async with session.post(f"{url}/completions", json=body) as answer:
            told = answer.headers.get(VARIANT)
            if told != variant or answer.status >= 500:
                raise UsageError(
                    f"{url} answered {answer.status} as variant {told!r}",
                    f"an answer of {variant!r}",
                    "Ask the gateway, and give a variant of this model that is ready.",
                )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise HostError(
            f"{url} does not answer as variant {variant!r} ({error or type(error).__name__})",
            "a replica of it that is ready",
            "See whether its pods are ready.",
        ) from error


async def _engine_version(session: aiohttp.ClientSession, url: str) -> str | None:
    """The version that vLLM tells beside its API; None where there is no such page."""
    try:
        async with session.get(f"{url.removesuffix('/v1')}/version") as answer:
            return str((await answer.json(content_type=None))["version"]) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
        return None
