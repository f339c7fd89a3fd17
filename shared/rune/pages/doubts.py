"""Which numbers a warning is about, so that it can stand beside them."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal
from xml.etree.ElementTree import Element  # made here, nothing is parsed

from rune.bench.definitions import WARNINGS
from rune.bench.showing import number
from rune.contracts import RunReport
from rune.pages.markup import MAX_CODE_CHARS, element, shortened

type Place = Literal[
    "load",
    "requests",
    "throughput",
    "ttft",
    "tpot",
    "e2el",
    "price",
    "model",
    "server",
    "quality",
    "end",
    "bill",
    "waiting",
    "contexts",
    "preempted",
    "reloads",
]

_TOUCHED: Mapping[str, tuple[Place, ...]] = MappingProxyType(
    {
        # Of a run.
        "few_samples": ("ttft", "tpot", "e2el"),
        "few_waves": ("throughput", "price"),
        "requests_stalled": ("throughput", "e2el"),
        "errors": ("requests", "ttft", "e2el"),
        "cut_short": ("requests",),
        "stream_buffered": ("ttft", "tpot"),
        "few_pieces": ("tpot",),
        "prompt_truncated": ("ttft",),
        "client_overloaded": ("ttft", "tpot", "e2el"),
        "token_counts_estimated": ("throughput", "tpot", "price"),
        "input_tokens_unknown": ("requests",),
        "prefix_cache_hits": ("ttft",),
        "short_answers": ("tpot",),
        "reasoning_hidden": ("ttft", "tpot"),
        "empty_answers": ("requests",),
        "model_reloaded": ("ttft", "e2el", "reloads"),
        "server_queued": ("ttft", "waiting"),
        "kv_cache_full": ("load", "contexts"),
        "server_preempted": ("e2el", "preempted"),
        # Of the whole.
        "partial_gpu_offload": ("model",),
        "context_differs": ("model",),
        "server_changed": ("model",),
        "server_parallel_exceeded": ("server",),
        "eos_not_ignored": ("server",),
        "ignore_eos_suspected": ("server",),
        "answers_unjudged": ("quality",),
        "judge_failed": ("quality",),
        "judge_unfinished": ("quality",),
        "cost_cap_reached": ("end",),
        "point_given_up": ("end",),
        "cost_so_far": ("bill",),
        "runs_given_up": ("end",),
    }
)
"""All others, also those of a later version, stand beside the load of their run, or beside the end of the whole."""


def touches(warning: str, place: Place) -> bool:
    """Return whether a warning is about what stands at the place."""
    return place in _TOUCHED.get(warning, ("load", "end"))


def at(warnings: Iterable[str], place: Place) -> list[Element]:
    """Return a mark for each warning about what stands at the place, which leads to its explanation."""
    return [mark(warning) for warning in warnings if touches(warning, place)]


def of_run(run: RunReport, place: Place) -> list[Element]:
    """Return the same for a run's warnings, each with the number that it comes from where the report has it."""
    return [
        mark(warning, run.warning_evidence.get(warning))
        for warning in run.warnings
        if touches(warning, place)
    ]


def mark(warning: str, evidence: float | None = None) -> Element:
    """Return a warning's name, as a link to its explanation on the same page."""
    told = "" if evidence is None else f" ({number(evidence)})"
    return element("a", {"class": "warning", "href": f"#{_anchor(warning)}"}, f"{_shown(warning)}{told}")


def explanations(warnings: Sequence[str]) -> Element:
    """Return what each warning means, once."""
    known = dict.fromkeys(warnings)
    return element(
        "ul",
        {"class": "warnings"},
        *(
            element(
                "li",
                {"id": _anchor(warning)},
                element("strong", {"class": "warning"}, _shown(warning)),
                f" {WARNINGS.get(warning, 'Of a version of RUNE that this one does not know.')}",
            )
            for warning in known
        ),
    )


def _shown(warning: str) -> str:
    return f"⚠\N{NO-BREAK SPACE}{shortened(warning, MAX_CODE_CHARS)}"


def _anchor(warning: str) -> str:
    """Return an id of the page; a name in a stored report may hold anything."""
    kept = (char if char.isascii() and (char.isalnum() or char == "_") else "-" for char in warning)
    return f"w-{''.join(kept)[:MAX_CODE_CHARS]}"
