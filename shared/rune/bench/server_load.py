"""What a server said of its load while a point was measured, folded into the report's small table."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from rune.bench.rounding import rounded
from rune.contracts import ServerLoad
from rune.llm.protocol import ServerMetrics

QUEUED_RATIO = 0.25
LEAST_QUEUED_READINGS = 2
KV_FULL_RATIO = 0.95

type Counter = Callable[[ServerMetrics], float | None]


@dataclass(frozen=True, slots=True)
class ServerReading:
    """What the server said at one time.

    Attributes
    ----------
    at_ns
        When it had said it, since the point began.
    phase
        `before` the first measured request, `during` the load, or `after` the last request.
    """

    at_ns: int
    phase: Literal["before", "during", "after"]
    metrics: ServerMetrics


def server_load_of(readings: Sequence[ServerReading]) -> ServerLoad | None:
    """Return what the readings of a point tell, in the order in which they were made; None for none.

    Gauges are those of readings during the load: before and after it the server has nothing to do. Counters are
    differences over all readings of a block of the point, never from one block to the next.
    """
    if not readings:
        return None
    during = [each.metrics for each in readings if each.phase == "during"]
    running, waiting = _known(during, lambda m: m.running_count), _known(during, lambda m: m.waiting_count)
    preempted = _rise(readings, lambda m: m.preempted_count)
    hits, looked_up = _rise(readings, lambda m: m.cached_tokens), _rise(readings, lambda m: m.prompt_tokens)
    accepted, drafted = (
        _rise(readings, lambda m: m.accepted_tokens),
        _rise(readings, lambda m: m.drafted_tokens),
    )
    return ServerLoad(
        source=readings[0].metrics.source,
        reading_count=len(during),
        running_requests_max=_whole(max(running, default=None)),
        running_requests_mean=_mean(running),
        waiting_requests_max=_whole(max(waiting, default=None)),
        waiting_requests_mean=_mean(waiting),
        waiting_readings_ratio=rounded(sum(map(bool, waiting)) / len(waiting)) if waiting else None,
        kv_cache_used_ratio_max=rounded(max(_known(during, lambda m: m.kv_used_ratio), default=None)),
        preempted_count=_whole(preempted),
        prefix_cache_hit_tokens=_whole(hits),
        prefix_cache_hit_ratio=_ratio(hits, looked_up),
        draft_tokens=_whole(drafted),
        draft_accepted_ratio=_ratio(accepted, drafted),
        reload_count=_reload_count(readings),
    )


def server_warnings(load: ServerLoad | None) -> Mapping[str, float]:
    """Return the warnings that a server's own words give, each with the number that it comes from."""
    if load is None:
        return {}
    evidence: dict[str, float] = {}
    waiting_readings = round((load.waiting_readings_ratio or 0.0) * load.reading_count)
    # A request waits for a moment at each server, until the next step of the batch.
    if (
        load.waiting_requests_max
        and waiting_readings >= LEAST_QUEUED_READINGS
        and waiting_readings >= QUEUED_RATIO * load.reading_count
    ):
        evidence["server_queued"] = load.waiting_requests_max
    if (load.kv_cache_used_ratio_max or 0.0) >= KV_FULL_RATIO:
        evidence["kv_cache_full"] = load.kv_cache_used_ratio_max or 0.0
    if load.preempted_count:
        evidence["server_preempted"] = load.preempted_count
    if load.reload_count:
        evidence["model_reloaded"] = load.reload_count
    return evidence


def _known(metrics: Sequence[ServerMetrics], number: Counter) -> list[float]:
    return [value for value in map(number, metrics) if value is not None]


def _steps(readings: Sequence[ServerReading]) -> list[tuple[ServerMetrics, ServerMetrics]]:
    """Return each two neighbouring readings of one block of the point."""
    return [
        (earlier.metrics, later.metrics)
        for earlier, later in pairwise(readings)
        if not (earlier.phase == "after" and later.phase == "before")
    ]


def _rise(readings: Sequence[ServerReading], counter: Counter) -> float | None:
    """Return by how much a counter has risen; None where no two neighbouring readings tell it.

    A counter that falls has begun anew with its server, so all that it shows then has come since (as Prometheus'
    `increase` counts: https://prometheus.io/docs/prometheus/latest/querying/functions/#increase).
    """
    rises = [
        later if later < earlier else later - earlier
        for earlier, later in ((counter(a), counter(b)) for a, b in _steps(readings))
        if earlier is not None and later is not None
    ]
    return math.fsum(rises) if rises else None


def _reload_count(readings: Sequence[ServerReading]) -> int:
    """Return how often the model was loaded anew: its server was, or another model had taken its place."""
    return sum(_has_restarted(a, b) or _has_loaded_anew(a, b) for a, b in _steps(readings))


def _has_restarted(earlier: ServerMetrics, later: ServerMetrics) -> bool:
    counters: tuple[Counter, ...] = (
        lambda m: m.preempted_count,
        lambda m: m.prompt_tokens,
        lambda m: m.cached_tokens,
        lambda m: m.drafted_tokens,
        lambda m: m.accepted_tokens,
    )
    pairs = ((counter(earlier), counter(later)) for counter in counters)
    return any(old is not None and new is not None and new < old for old, new in pairs)


def _has_loaded_anew(earlier: ServerMetrics, later: ServerMetrics) -> bool:
    return bool(later.loaded) and earlier.loaded is not None and later.loaded != earlier.loaded


def _mean(values: Sequence[float]) -> float | None:
    return rounded(math.fsum(values) / len(values)) if values else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    """Return the share; None where that is not known, or is none, as of counters read between two rises."""
    if part is None or not whole or part > whole:
        return None
    return rounded(part / whole)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
