"""The result of a benchmark, from what was measured. Plain functions over plain data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rune.contracts import (
    BenchmarkBookkeeping,
    BenchmarkReport,
    BenchmarkRequest,
    Measurements,
    PhaseLatency,
    StoredBenchmarkResult,
    Telemetry,
    TokenTelemetry,
)
from rune.llm.protocol import Generation
from rune.workflows.answers import keep_answer

_QUOTED_CHARS = 200


@dataclass(frozen=True, slots=True)
class TokenSums:
    """Tokens of many answers; what a server does not tell counts as none."""

    prompt_count: int = 0
    output_count: int = 0
    reasoning_count: int = 0

    def plus(self, generations: Iterable[Generation]) -> "TokenSums":
        """Return the sums with these answers in them."""
        tokens = [generation.tokens for generation in generations]
        return TokenSums(
            self.prompt_count + sum(each.prompt_count or 0 for each in tokens),
            self.output_count + sum(each.output_count for each in tokens),
            # Reasoning is a part of the output, also where a server counts more of it.
            self.reasoning_count + sum(min(each.reasoning_count or 0, each.output_count) for each in tokens),
        )


def make_result(
    request: BenchmarkRequest,
    *,
    backend_url: str,
    answer: str,
    measurements: Measurements,
    tokens: TokenSums,
    phases_ms: Mapping[str, int],
    report: BenchmarkReport,
    bookkeeping: BenchmarkBookkeeping,
    cost_usd: float | None = None,
) -> StoredBenchmarkResult:
    """Return the result without its receipt.

    Parameters
    ----------
    answer, measurements
        One answer that stands for all, and its numbers. Of one that is too long for a document the beginning is
        kept, and `metadata.answer_chars` tells its length.
    phases_ms
        All phases of the job in order, in milliseconds.
    cost_usd
        Of its tokens so far; None for a server that does not bill by the token.
    """
    kept, clipped = keep_answer(answer)
    return StoredBenchmarkResult(
        answer=kept,
        metadata={
            "backend_type": request.backend_type,
            "question": request.question[:_QUOTED_CHARS],
            **clipped,
        },
        telemetry=Telemetry(
            tokens=TokenTelemetry(
                system_prompt=0,
                tool_calls=0,
                agent_reasoning=tokens.reasoning_count,
                output=tokens.output_count - tokens.reasoning_count,
                total=tokens.prompt_count + tokens.output_count,
            ),
            latency=[PhaseLatency(phase=phase, ms=ms) for phase, ms in phases_ms.items()],
            cost_estimate_usd=cost_usd,
        ),
        model_name=request.model,
        backend_url=backend_url,
        measurements=measurements,
        report=report,
        bookkeeping=bookkeeping,
    )
