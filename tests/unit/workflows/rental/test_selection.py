from datetime import timedelta

import pytest

from rune.contracts import BenchmarkRequest, LlmInstanceRequest
from rune.jobs.record import Kind
from rune.money.sizing import context_vram_mb, size_model
from rune.rentals.forecast import ExpectedUse
from rune.workflows.rental.selection import count_output_tokens, describe_use, required_vram_mb
from tests.rental_builders import MODEL
from tests.unit.workflows.rental.world import a_renting_job

ONCE = {"question": "Why?", "model": MODEL, "vastai": True}


@pytest.mark.parametrize(
    ("workload", "tokens"),
    [
        (None, 500),
        ({"output_tokens": 100, "warmup_requests": 0}, 100),
        ({"output_tokens": 100, "warmup_requests": 2, "repetitions": 5}, 700),
        ({"output_tokens": 10, "warmup_requests": 0, "prompts": ["a", "b", "c"]}, 30),
        ({"output_tokens": 10, "warmup_requests": 0, "concurrency": [1, 2, 4]}, 610),
        ({"output_tokens": 10, "warmup_requests": 0, "sweep": True, "max_concurrency": 8}, 1410),
    ],
    ids=str,
)
def test_output_tokens_are_those_of_all_requests(workload: dict[str, object] | None, tokens: int) -> None:
    request = BenchmarkRequest.model_validate({**ONCE, "workload": workload})

    assert count_output_tokens(request) == tokens


def test_memory_holds_a_context_for_each_request_under_way() -> None:
    model = size_model(MODEL)
    alone, beside = (
        BenchmarkRequest.model_validate(
            {**ONCE, "context_tokens": 4096, "workload": {"concurrency": [level], "output_tokens": 64}}
        )
        for level in (1, 8)
    )

    assert required_vram_mb(alone, model) == model.vram_mb + context_vram_mb(model, 4096)
    assert required_vram_mb(beside, model) == model.vram_mb + context_vram_mb(model, 8 * 4096)


def test_use_of_a_benchmark_is_its_answers() -> None:
    request = BenchmarkRequest.model_validate(ONCE)

    use = describe_use(a_renting_job(), request, size_model(MODEL), 2_000_000_000)

    assert use == ExpectedUse(image_gb=2.0, weights_gb=4.9, token_count=500)


@pytest.mark.parametrize(
    ("kind", "keeps"),
    [(Kind.LLM_INSTANCE, {}), (Kind.BENCHMARK, {"vastai_stop_instance": False})],
    ids=["an instance", "a benchmark that keeps its machine"],
)
def test_use_of_a_machine_that_is_kept_includes_the_time_of_keeping(
    kind: Kind, keeps: dict[str, object]
) -> None:
    document = {"vastai": True, "model": MODEL, "keep_seconds": 7200, **keeps}
    request = (
        LlmInstanceRequest.model_validate(document)
        if kind is Kind.LLM_INSTANCE
        else BenchmarkRequest.model_validate({"question": "Why?", **document})
    )

    use = describe_use(a_renting_job(kind=kind), request, size_model(MODEL), 0)

    assert use.kept == timedelta(hours=2)
