"""How numbers, loads and names are shown to people, in whatever form."""

import re

from rune.contracts import ComparedPoint, GateCheck, RunReport

NAMES_OF_NUMBERS = {
    "ttft_ms": "Time to first token",
    "tpot_ms": "Time per output token",
    "itl_ms": "Gap between chunks",
    "e2el_ms": "End-to-end latency",
    "ttft_from_due_ms": "Time to first token, from due",
    "e2el_from_due_ms": "End-to-end latency, from due",
    "steady_output_throughput_tokens_per_s": "Output throughput, steady",
    "output_throughput_tokens_per_s": "Output throughput",
    "request_throughput_per_s": "Request throughput",
    "output_tokens_per_s_per_user": "Speed for each user",
    "failed_ratio": "Failed requests",
    "completed_ratio": "Completed requests",
    "good_ratio": "Requests within limits",
    "quality_score": "Quality",
    "reliability_ratio": "Reliability",
    "usd_per_million_output_tokens": "Price of 1 M output tokens",
    "pass_at_1": "Correct, one try",
    "pass_hat_k": "Correct, every try",
    "precision": "Precision of findings",
    "recall": "Recall of causes",
    "f1": "F1 of findings",
    "trap_rate": "Trapped by red herrings",
    "turns": "Turns of a case",
    "tool_calls": "Calls of tools, of a case",
    "case_input_tokens": "Input tokens of a case",
    "case_output_tokens": "Output tokens of a case",
    "case_seconds": "Time of a case",
    "usd_per_case": "Price of a case",
}
"""By the name in a report or a comparison."""

# Control characters, line ends of every kind, marks that turn the direction of the text after them, and halves of
# characters, which no encoding has.
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff]+"
)
_FULL_DIGITS = 1000


def name_of_number(name: str) -> str:
    """Return a number's name for people; a quantile's, such as `ttft_ms.p95`, is that of its field with its own."""
    field, dot, quantile = name.partition(".")
    return f"{NAMES_OF_NUMBERS.get(field, field)}{', ' if dot else ''}{quantile}"


def printable(text: str) -> str:
    """Return text on one line, with a space for what is not to be seen or would change what stands beside it."""
    return _UNPRINTABLE.sub(" ", text)


def number(value: float) -> str:
    """Return four significant digits, and all before the point."""
    return f"{value:,.0f}" if abs(value) >= _FULL_DIGITS else f"{value:.4g}"


def letter(index: int) -> str:
    """Return A for the first, Z for the 26th, AA for the one after it."""
    rest, place = divmod(index, 26)
    return (letter(rest - 1) if rest else "") + chr(ord("A") + place)


def describe_load(point: RunReport | ComparedPoint | GateCheck) -> str:
    """Return a point's load in words."""
    if point.request_rate_per_s is not None:
        return f"{point.request_rate_per_s:g} requests a second, at most {point.max_concurrency} at a time"
    return f"{point.max_concurrency} at a time"
