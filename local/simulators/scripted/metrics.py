"""What a scripted server tells at `/metrics`: the names of a real engine, and numbers that follow its load.

Names and labels are those of vLLM 0.33, SGLang 0.5.23, TGI 3 and llama.cpp of October 2026. The pages are as long
as the real ones are: histograms stand around what matters.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, get_args

from local.simulators.scripted.script import Exchange

type Engine = Literal["vllm", "sglang", "tgi", "llama.cpp"]
ENGINES: tuple[str, ...] = get_args(Engine.__value__)

_BYTES_PER_BLOCK = 64
"""16 tokens of 4 bytes: what vLLM keeps or drops as one."""
_BLOCK_TOKENS = 16
_ACCEPTED_OF_TEN = 7


class PrefixCache:
    """Knows the beginnings of earlier prompts, in blocks of 16 tokens."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def look_up(self, prompt: bytes) -> int:
        """Return how many tokens of the prompt are known by an earlier one, and keep it."""
        ends = range(_BYTES_PER_BLOCK, len(prompt) + 1, _BYTES_PER_BLOCK)
        hits = 0
        for end in ends:
            if prompt[:end] not in self._known:
                break
            hits += _BLOCK_TOKENS
        self._known.update(prompt[:end] for end in ends)
        return hits


class MetricsPage:
    """The page of one engine.

    Attributes
    ----------
    drafts
        Whether a draft proposes tokens, of which seven of ten are taken.
    """

    def __init__(self, engine: Engine, model: str, kv_tokens: int) -> None:
        self._engine = engine
        self._model = model
        self._kv_tokens = kv_tokens
        self._first = 0
        self.drafts = False

    def restart(self, exchanges: Sequence[Exchange]) -> None:
        """Count from zero, as a server that was started anew; answers under way go on."""
        self._first = len(exchanges)

    def page(self, exchanges: Sequence[Exchange]) -> bytes:
        """Return what the server tells now."""
        counted = exchanges[self._first :]
        under_way = [each for each in exchanges if not _is_over(each)]
        running = [each for each in under_way if each.slot_ns is not None]
        used_tokens = sum(each.prompt_tokens + len(each.times_ns("text", "reasoning")) for each in running)
        sent_tokens = sum(len(each.times_ns("text", "reasoning")) for each in counted)
        numbers = {
            "running": len(running),
            "waiting": len(under_way) - len(running),
            "kv_used": min(1.0, used_tokens / self._kv_tokens),
            "preempted": sum(_overlap_tokens(each, counted) > self._kv_tokens for each in counted),
            "prompt": sum(each.prompt_tokens for each in counted),
            "cached": sum(each.cached_tokens or 0 for each in counted),
            "sent": sent_tokens,
            "drafted": sent_tokens * 10 // _ACCEPTED_OF_TEN if self.drafts else 0,
            "accepted": sent_tokens if self.drafts else 0,
        }
        writers = {"vllm": _vllm, "sglang": _sglang, "tgi": _tgi, "llama.cpp": _llamacpp}
        return "".join(writers[self._engine](self._model, numbers)).encode()


def _is_over(exchange: Exchange) -> bool:
    # The slot is free for the next request as soon as the end was sent, a moment before the connection knows.
    return exchange.ended_ns is not None or (bool(exchange.sends) and exchange.sends[-1][0] == "end")


def _overlap_tokens(exchange: Exchange, others: Sequence[Exchange]) -> int:
    """Return the tokens of all contexts that were under way when this one got its slot."""
    at_ns = exchange.slot_ns
    if at_ns is None:
        return 0
    return sum(
        each.prompt_tokens
        for each in others
        if each.slot_ns is not None
        and each.slot_ns <= at_ns
        and (each.ended_ns or time.monotonic_ns()) > at_ns
    )


def _family(kind: str, name: str, samples: Mapping[str, float | str]) -> Iterator[str]:
    yield f"# HELP {name} As the engine says.\n# TYPE {name} {kind}\n"
    for labels, value in samples.items():
        yield f"{name}{labels} {value}\n"


def _histogram(name: str, labels: str, count: int) -> Iterator[str]:
    yield f"# HELP {name} As the engine says.\n# TYPE {name} histogram\n"
    for step in range(40):
        yield f'{name}_bucket{{le="{0.001 * 1.4**step:g}",{labels}}} {float(count)}\n'
    yield f'{name}_bucket{{le="+Inf",{labels}}} {float(count)}\n{name}_count{{{labels}}} {float(count)}\n'
    yield f"{name}_sum{{{labels}}} {count * 0.25}\n"


def _vllm(model: str, numbers: Mapping[str, float]) -> Iterator[str]:
    labels = f'engine="0",model_name="{model}"'
    in_braces = f"{{{labels}}}"
    yield from _family("gauge", "python_info", {'{implementation="CPython",major="3"}': 1.0})
    for name, number in (
        ("num_requests_running", "running"),
        ("num_requests_waiting", "waiting"),
        ("kv_cache_usage_perc", "kv_used"),
    ):
        yield from _family("gauge", f"vllm:{name}", {in_braces: float(numbers[number])})
    yield from _family(
        "gauge",
        "vllm:num_requests_waiting_by_reason",
        {
            f'{{{labels},reason="capacity"}}': float(numbers["waiting"]),
            f'{{{labels},reason="deferred"}}': 0.0,
        },
    )
    counters = {
        "prefix_cache_queries": numbers["prompt"],
        "prefix_cache_hits": numbers["cached"],
        "num_preemptions": numbers["preempted"],
        "prompt_tokens": numbers["prompt"],
        "generation_tokens": numbers["sent"],
        "spec_decode_num_draft_tokens": numbers["drafted"],
        "spec_decode_num_accepted_tokens": numbers["accepted"],
    }
    for name, value in counters.items():
        if name.startswith("spec_decode") and not numbers["drafted"]:
            continue
        yield from _family("counter", f"vllm:{name}_total", {in_braces: float(value)})
        yield from _family("gauge", f"vllm:{name}_created", {in_braces: 1.795e9})
    for name in ("time_to_first_token", "inter_token_latency", "e2e_request_latency", "request_queue_time"):
        yield from _histogram(f"vllm:{name}_seconds", labels, 12)
    for path in ("/v1/chat/completions", "/metrics", "/v1/models"):
        yield from _histogram("http_request_duration_highr_seconds", f'handler="{path}"', 9)


def _sglang(model: str, numbers: Mapping[str, float]) -> Iterator[str]:
    labels = f'engine_type="unified",model_name="{model}",moe_ep_rank="0",pp_rank="0",tp_rank="0"'
    in_braces = f"{{{labels}}}"
    gauges = {
        "num_running_reqs": numbers["running"],
        "num_queue_reqs": numbers["waiting"],
        "token_usage": numbers["kv_used"],
        "num_retracted_reqs": 0,
        "cache_hit_rate": 0.0,
        "gen_throughput": 100.0,
    }
    for name, value in gauges.items():
        yield from _family("gauge", f"sglang:{name}", {in_braces: float(value)})
    yield from _family(
        "counter", "sglang:num_retracted_requests_total", {in_braces: float(numbers["preempted"])}
    )
    own = f'{{model_name="{model}"}}'
    yield from _family("counter", "sglang:prompt_tokens_total", {own: float(numbers["prompt"])})
    yield from _family("counter", "sglang:generation_tokens_total", {own: float(numbers["sent"])})
    sources = {
        f'{{cache_source="device",model_name="{model}"}}': float(numbers["cached"]),
        f'{{cache_source="host",model_name="{model}"}}': 0.0,
    }
    yield from _family("counter", "sglang:cached_tokens_total", sources)
    yield from _histogram("sglang:time_to_first_token_seconds", f'model_name="{model}"', 12)


def _tgi(_model: str, numbers: Mapping[str, float]) -> Iterator[str]:
    yield from _family("gauge", "tgi_batch_current_size", {"": numbers["running"]})
    yield from _family("gauge", "tgi_queue_size", {"": numbers["waiting"]})
    yield from _family("counter", "tgi_request_success", {"": 12})
    yield from _histogram("tgi_request_queue_duration", 'method="generate"', 12)


def _llamacpp(_model: str, numbers: Mapping[str, float]) -> Iterator[str]:
    counters = {
        # Leaves out what came from the cache.
        "prompt_tokens_total": numbers["prompt"] - numbers["cached"],
        "prompt_tokens_cached_total": numbers["cached"],
        "tokens_predicted_total": numbers["sent"],
        "n_decode_total": numbers["sent"],
        "spec_decode_num_draft_tokens_total": numbers["drafted"],
        "spec_decode_num_accepted_tokens_total": numbers["accepted"],
    }
    for name, value in counters.items():
        yield from _family("counter", f"llamacpp:{name}", {"": value})
    yield from _family("gauge", "llamacpp:predicted_tokens_seconds", {"": "nan"})
    yield from _family("gauge", "llamacpp:requests_processing", {"": numbers["running"]})
    yield from _family("gauge", "llamacpp:requests_deferred", {"": numbers["waiting"]})
