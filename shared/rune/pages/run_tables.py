"""Tables of what some runs have: the server's own word on its load, and the numbers of each turn."""

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element  # made here, nothing is parsed

from rune.bench.showing import describe_load, number
from rune.contracts import Distribution, RunReport, ServerLoad
from rune.pages import doubts
from rune.pages.frame import scrolled, section, table_of
from rune.pages.markup import element, shortened
from rune.pages.values import NOT_MEASURED, cell, known, ratio

MAX_SOURCE_CHARS = 30

_SERVER = (
    ("Load", None),
    ("Readings", "of the metrics"),
    ("Running", "most, mean"),
    ("Waiting", "most, mean"),
    ("Contexts", "memory used, most"),
    ("Preempted", "requests"),
    ("Prompts", "tokens from cache"),
    ("Drafts", "accepted"),
    ("Reloads", "of the model"),
)
_TURNS = (
    ("Load", None),
    ("Turn", "from 0"),
    ("Answered", "of requests"),
    ("First token", "median, p95"),
    ("Token after token", "median, p95"),
    ("Input tokens", "mean"),
    ("Output tokens", "mean"),
    ("Prompts", "tokens from cache"),
)


def server_section(runs: Sequence[RunReport]) -> Iterator[Element]:
    """Yield what the server says of its load at each point, where it says anything."""
    rows = [_server_row(run, run.server) for run in runs if run.server is not None]
    if rows:
        yield section(
            "What the server says of its load",
            scrolled(table_of(_SERVER, rows), "What the server says at each point"),
            element(
                "p",
                {"class": "soft"},
                "From the server's own metrics while requests were under way. Requests of others are among it.",
            ),
        )


def turns_section(runs: Sequence[RunReport]) -> Iterator[Element]:
    """Yield the numbers of each turn, where there were conversations."""
    rows = [row for run in runs for row in _turn_rows(run)]
    if rows:
        yield section("Turns", scrolled(table_of(_TURNS, rows), "Numbers of each turn"))


def _server_row(run: RunReport, load: ServerLoad) -> Element:
    return element(
        "tr",
        None,
        element("th", {"scope": "row"}, describe_load(run)),
        _texts(str(load.reading_count), shortened(load.source, MAX_SOURCE_CHARS)),
        _gauge(load.running_requests_max, load.running_requests_mean),
        _gauge(load.waiting_requests_max, load.waiting_requests_mean, *doubts.of_run(run, "waiting")),
        _texts(ratio(load.kv_cache_used_ratio_max), None, *doubts.of_run(run, "contexts")),
        _texts(_amount(load.preempted_count), None, *doubts.of_run(run, "preempted")),
        _texts(
            _amount(load.prefix_cache_hit_tokens),
            None if load.prefix_cache_hit_ratio is None else ratio(load.prefix_cache_hit_ratio),
        ),
        _texts(ratio(load.draft_accepted_ratio)),
        _texts(str(load.reload_count), None, *doubts.of_run(run, "reloads")),
    )


def _turn_rows(run: RunReport) -> Iterator[Element]:
    for turn in run.turns or ():
        yield element(
            "tr",
            None,
            element("th", {"scope": "row"}, describe_load(run)),
            _texts(str(turn.turn)),
            _texts(f"{turn.completed:,} of {turn.num_prompts:,}"),
            cell(turn.ttft_ms),
            cell(turn.tpot_ms),
            _texts(_mean(turn.input_tokens)),
            _texts(_mean(turn.output_tokens)),
            _texts(ratio(turn.cached_input_ratio)),
        )


def _gauge(largest: float | None, mean: float | None, *marks: Element) -> Element:
    return _texts(_amount(largest), None if mean is None else f"mean {number(mean)}", *marks)


def _texts(text: str, below: str | None = None, *marks: Element) -> Element:
    small = None if below is None else element("small", {"class": "none"}, below)
    return element("td", None, known(text), small, *marks)


def _amount(value: float | None) -> str:
    return NOT_MEASURED if value is None else number(value)


def _mean(values: Distribution | None) -> str:
    return NOT_MEASURED if values is None else number(values.mean)
