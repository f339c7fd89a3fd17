from dataclasses import replace

from rune.bench.measurements import measurements_of
from rune.contracts import BenchmarkBookkeeping, BenchmarkRequest, TokenTelemetry
from rune.contracts.workloads import question_once
from rune.workflows.answers import LONGEST_ANSWER_CHARS
from rune.workflows.benchmark.result import (
    TokenSums,
    make_result,
)
from tests.builders import a_benchmark_request
from tests.fake_model_server import GENERATION
from tests.measured_builders import a_report


def test_result_has_no_tokens_below_zero_when_a_server_counts_more_reasoning_than_output() -> None:
    tokens = replace(GENERATION.tokens, output_count=21, reasoning_count=30)

    result = make_result(
        BenchmarkRequest.model_validate(a_benchmark_request()),
        backend_url="http://127.0.0.1:11434",
        answer="Two.",
        measurements=measurements_of(GENERATION, question_once()),
        tokens=TokenSums().plus([replace(GENERATION, tokens=tokens)]),
        phases_ms={},
        report=a_report(),
        bookkeeping=BenchmarkBookkeeping(),
    )

    assert result.telemetry.tokens == TokenTelemetry(
        system_prompt=0, tool_calls=0, agent_reasoning=21, output=0, total=33
    )


def test_result_keeps_the_beginning_of_an_answer_that_no_document_holds() -> None:
    result = make_result(
        BenchmarkRequest.model_validate(a_benchmark_request()),
        backend_url="http://127.0.0.1:11434",
        answer="x" * (LONGEST_ANSWER_CHARS + 1),
        measurements=measurements_of(GENERATION, question_once()),
        tokens=TokenSums(),
        phases_ms={},
        report=a_report(),
        bookkeeping=BenchmarkBookkeeping(),
    )

    assert len(result.answer) == LONGEST_ANSWER_CHARS
    assert result.metadata["answer_chars"] == str(LONGEST_ANSWER_CHARS + 1)
