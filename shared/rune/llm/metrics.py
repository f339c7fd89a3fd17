"""What vLLM, SGLang, TGI and llama.cpp say of their load at `/metrics`.

The servers are told apart by the names of their metrics, so it does not matter what they call themselves. The
names, and what each counts, were read in the sources of vLLM 0.9 to 0.33, SGLang 0.4.6 to 0.5.23, and llama.cpp of
October 2026; they are documented in https://docs.vllm.ai/en/latest/usage/metrics.html,
https://docs.sglang.ai/references/production_metrics.html,
https://huggingface.co/docs/text-generation-inference/reference/metrics and
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from urllib.parse import quote

from rune.errors import BadResponseError
from rune.llm.prometheus import Sample, SampleLines, read_samples
from rune.llm.protocol import ServerMetrics
from rune.net.calls import Reply

PATH = "/metrics"

TIMEOUT_SECONDS = 2.0
"""For one page: a server that is too busy to tell is not waited for."""

MAX_PAGE_BYTES = 1024 * 1024
"""vLLM's page has about 60 KB for one engine and one model."""

MAX_LINES = 1024
"""Of a page that are read: a server of 64 engines has some 600. More would hold the event loop up."""

_OK = 200

type Get = Callable[[str, float], AbstractAsyncContextManager[Reply]]
"""Begins to read a route of a server, within so many seconds."""


@dataclass(frozen=True, slots=True)
class _Names:
    """What a server calls each number; of several names the first that it has counts."""

    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    kv_used: tuple[str, ...] = ()
    preempted: tuple[str, ...] = ()
    prompt_tokens: tuple[str, ...] = ()
    cached_tokens: tuple[str, ...] = ()
    drafted_tokens: tuple[str, ...] = ()
    accepted_tokens: tuple[str, ...] = ()
    prompts_leave_out_cached: bool = False

    @property
    def all(self) -> tuple[str, ...]:
        return (
            *self.running,
            *self.waiting,
            *self.kv_used,
            *self.preempted,
            *self.prompt_tokens,
            *self.cached_tokens,
            *self.drafted_tokens,
            *self.accepted_tokens,
        )


_SERVERS: Mapping[str, _Names] = {
    "vllm": _Names(
        running=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting",),
        # A ratio, in spite of its name. The second is that of 2025.
        kv_used=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        preempted=("vllm:num_preemptions_total",),
        prompt_tokens=("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
        cached_tokens=("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
        drafted_tokens=("vllm:spec_decode_num_draft_tokens_total",),
        accepted_tokens=("vllm:spec_decode_num_accepted_tokens_total",),
    ),
    "sglang": _Names(
        running=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs",),
        kv_used=("sglang:token_usage",),
        # `num_retracted_reqs` is no counter.
        preempted=("sglang:num_retracted_requests_total",),
        prompt_tokens=("sglang:prompt_tokens_total",),
        cached_tokens=("sglang:cached_tokens_total",),
    ),
    "tgi": _Names(running=("tgi_batch_current_size",), waiting=("tgi_queue_size",)),
    "llama.cpp": _Names(
        running=("llamacpp:requests_processing",),
        waiting=("llamacpp:requests_deferred",),
        # Gone since 2025.
        kv_used=("llamacpp:kv_cache_usage_ratio",),
        prompt_tokens=("llamacpp:prompt_tokens_total",),
        cached_tokens=("llamacpp:prompt_tokens_cached_total",),
        drafted_tokens=("llamacpp:spec_decode_num_draft_tokens_total",),
        accepted_tokens=("llamacpp:spec_decode_num_accepted_tokens_total",),
        prompts_leave_out_cached=True,
    ),
}

_WANTED = tuple(name for names in _SERVERS.values() for name in names.all)
_OTHER_RANKS = ("tp_rank", "pp_rank")


async def read_metrics(get: Get, model: str) -> ServerMetrics | None:
    """Return what a server says of its load, now; None where its page says nothing that is known here.

    Raises
    ------
    ModelServerError, AddressError
        It has no such page, or none that can be read in time.
    """
    lines = await _read_page(get, PATH)
    if lines is None:
        # llama-server that holds several models has a page for each; without the second part it would load one.
        lines = await _read_page(get, f"{PATH}?model={quote(model, safe='')}&autoload=false")
    return None if lines is None else metrics_of(read_samples(lines), model)


async def _read_page(get: Get, path: str) -> list[bytes] | None:
    """Return a page's lines that matter; None for a page that is not there."""
    async with get(path, TIMEOUT_SECONDS) as reply:
        if reply.status != _OK:
            return None
        body, picked = reply.reader(max_bytes=MAX_PAGE_BYTES), SampleLines(_WANTED)
        while (received := await body.read()) is not None:
            picked.feed(received.data)
        lines = picked.finish()
        if len(lines) > MAX_LINES:
            raise BadResponseError(f"The server's metrics have more than {MAX_LINES} lines that matter.")
        return lines


def metrics_of(samples: Sequence[Sample], model: str) -> ServerMetrics | None:
    """Return what the samples of a page say; None where they are no known server's.

    A number that one engine of several does not give properly is not known at all.

    Parameters
    ----------
    model
        Whose samples count where the page has those of several, and names it.
    """
    named = {sample.labels["model_name"] for sample in samples if "model_name" in sample.labels}
    others = named - {model} if model in named else frozenset()
    # Each rank of a group of GPUs that work together may tell the same.
    own = [
        sample
        for sample in samples
        if sample.labels.get("model_name") not in others
        and all(sample.labels.get(rank, "0") == "0" for rank in _OTHER_RANKS)
    ]
    source = next((name for name, names in _SERVERS.items() if _any_of(own, names.all)), None)
    if source is None:
        return None
    names = _SERVERS[source]
    prompt_tokens, cached_tokens = _total(own, names.prompt_tokens), _total(own, names.cached_tokens)
    if names.prompts_leave_out_cached and prompt_tokens is not None and cached_tokens is not None:
        prompt_tokens += cached_tokens
    kv_used_ratio = _largest(own, names.kv_used)
    return ServerMetrics(
        source,
        running_count=_total(own, names.running),
        waiting_count=_total(own, names.waiting),
        kv_used_ratio=kv_used_ratio if kv_used_ratio is not None and kv_used_ratio <= 1 else None,
        preempted_count=_total(own, names.preempted),
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        drafted_tokens=_total(own, names.drafted_tokens),
        accepted_tokens=_total(own, names.accepted_tokens),
    )


def _any_of(samples: Sequence[Sample], names: Sequence[str]) -> bool:
    return any(sample.name in names for sample in samples)


def _values(samples: Sequence[Sample], names: Sequence[str]) -> list[float] | None:
    """Return the values of the first name that there is; None where there is none, or one value is no number."""
    for name in names:
        values = [sample.value for sample in samples if sample.name == name]
        if values:
            known = [value for value in values if value is not None]
            return known if len(known) == len(values) else None
    return None


def _total(samples: Sequence[Sample], names: Sequence[str]) -> float | None:
    values = _values(samples, names)
    return None if values is None else math.fsum(values)


def _largest(samples: Sequence[Sample], names: Sequence[str]) -> float | None:
    values = _values(samples, names)
    return None if values is None else max(values)
