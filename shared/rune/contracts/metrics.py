"""What callers get about how their jobs went."""

from rune.contracts.document import Document


class EventMetrics(Document):
    """How often something happened, and how long it took."""

    event: str
    total: int
    ok: int
    error: int
    avg_ms: float
    min_ms: int
    max_ms: int


class MetricsSummary(Document):
    """Metrics by event name, sorted."""

    events: list[EventMetrics]
