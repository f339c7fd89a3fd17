"""Whether a request was good: within every limit that the workload gives."""

from dataclasses import dataclass

from rune.bench import formulas
from rune.bench.records import RequestRecord
from rune.contracts import GoodputLimits
from rune.llm.protocol import Generation

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class GoodputJudge:
    """Judges single requests.

    Attributes
    ----------
    is_open
        Requests of an open load have waited since they were due: what they wait in RUNE's own queue, for a slot,
        they would have waited in the server's. Those of a closed load begin when they are sent.
    """

    limits: GoodputLimits
    is_open: bool

    def is_good(self, record: RequestRecord) -> bool | None:
        """Return whether a request was good; None where that cannot be known.

        A failed one was not. One that was cut off was not if it had waited longer than a limit by then. Nothing is
        known of others that were cut off, and of a time per token that is not defined.
        """
        if record.status == "failed":
            return False
        if record.generation is None:
            return False if self._is_over(record) else None
        waited_ms = lateness_ms(record) if self.is_open else 0.0
        return self._is_within(record.generation, waited_ms)

    def _is_within(self, generation: Generation, waited_ms: float) -> bool | None:
        stamps, tokens, limits = generation.stamps, generation.tokens, self.limits
        # An answer without content has no latency that could be within a limit.
        first_ms, last_ms = (
            formulas.time_to_first_token_ms(stamps),
            formulas.end_to_end_latency_ms(stamps),
        )
        if first_ms is None or last_ms is None:
            return False
        if limits.ttft_ms is not None and first_ms + waited_ms > limits.ttft_ms:
            return False
        if limits.e2el_ms is not None and last_ms + waited_ms > limits.e2el_ms:
            return False
        # vLLM's bench: an answer of one token has no time between tokens, and passes.
        if limits.tpot_ms is None or tokens.output_count <= 1:
            return True
        per_token_ms = formulas.time_per_output_token_ms(generation)
        return None if per_token_ms is None else per_token_ms <= limits.tpot_ms

    def _is_over(self, record: RequestRecord) -> bool:
        """Return whether a request without an answer had already waited longer than a limit."""
        began_ns = record.due_ns if self.is_open or record.sent_ns is None else record.sent_ns
        first_ns = next(iter(record.partial_arrivals_ns), record.ended_ns)
        first_ms, last_ms = (first_ns - began_ns) / _NS_PER_MS, (record.ended_ns - began_ns) / _NS_PER_MS
        limits = self.limits
        return (limits.ttft_ms is not None and first_ms > limits.ttft_ms) or (
            limits.e2el_ms is not None and last_ms > limits.e2el_ms
        )


def lateness_ms(record: RequestRecord) -> float:
    """Return how long after its due time a request was sent."""
    return 0.0 if record.sent_ns is None else max(0, record.sent_ns - record.due_ns) / _NS_PER_MS
