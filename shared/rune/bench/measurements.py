"""The numbers of one answer, in the words of a run's report."""

from rune.bench import formulas
from rune.bench.rounding import rounded
from rune.bench.server_side import server_side_of, without_doubtful_prefill
from rune.contracts import Measurements, Workload
from rune.llm.protocol import Generation


def measurements_of(generation: Generation, workload: Workload) -> Measurements:
    """Return the numbers of an answer that was measured as a part of the workload."""
    stamps, tokens = generation.stamps, generation.tokens
    return Measurements(
        ttft_ms=rounded(formulas.time_to_first_token_ms(stamps)),
        ttfo_ms=rounded(formulas.time_to_first_visible_token_ms(stamps)),
        tpot_ms=rounded(formulas.time_per_output_token_ms(generation)),
        e2el_ms=rounded(formulas.end_to_end_latency_ms(stamps)),
        output_throughput_tokens_per_s=rounded(formulas.output_throughput_tokens_per_s(stamps, tokens)),
        output_tokens_per_s_per_user=rounded(formulas.output_tokens_per_s_per_user(generation)),
        input_tokens=tokens.prompt_count,
        output_tokens=tokens.output_count,
        cached_tokens=tokens.cached_count,
        reasoning_tokens=tokens.reasoning_count,
        token_count_source=tokens.source.value,
        finish_reason=generation.finish_reason.value,
        server_side=without_doubtful_prefill(
            server_side_of([generation]), workload, cached_tokens=tokens.cached_count
        ),
    )
