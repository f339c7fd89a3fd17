import hashlib
import tomllib
from pathlib import Path

import pytest

import rune
from rune.bench.definitions import FORMULAS, WARNINGS
from rune.bench.headline import best_run
from rune.bench.records import Point
from rune.bench.reports import fingerprint
from rune.bench.runs import quality_of
from rune.contracts import (
    BenchmarkReport,
    BenchmarkRequest,
    CostReport,
    DatasetReport,
    Expectation,
    GoodputLimits,
    JudgeModel,
    ModelReport,
    SamplingReport,
    ServerReport,
)
from rune.llm.protocol import ModelFacts, ServerFacts, ServerTimings
from tests.builders import JOB_ID, NOW, REQUEST, after
from tests.measured_builders import a_completed, a_failed, a_report, a_run


def asking(**workload: object) -> BenchmarkRequest:
    return BenchmarkRequest.model_validate({**REQUEST, "workload": workload})


def test_report_says_what_the_numbers_depend_on() -> None:
    run = a_run(a_completed())
    facts = ModelFacts("sha256:1", "Q4_K_M", "7.6B", "qwen2", 32768, 8192, size_bytes=9, size_vram_bytes=9)

    report = a_report(
        run,
        request=asking(prompt_set="synthetic", input_tokens=512, output_tokens=128, seed=7, temperature=0.5),
        model=facts,
        server=ServerFacts("ollama", "0.33.0", 1),
        prompts=["Why?", "How?"],
        ignores_eos=True,
        context_tokens=8192,
        warnings=["context_differs"],
        client_region="eu-central-1",
        client_memory_mb=1769,
    )

    assert report == BenchmarkReport(
        benchmark_id=JOB_ID,
        tool_version="0.1.0",
        started_at=NOW,
        finished_at=after(60),
        backend="ollama",
        endpoint_type="ollama-chat",
        model=ModelReport(
            id="llama3.1:8b",
            digest="sha256:1",
            quantization="Q4_K_M",
            parameter_size="7.6B",
            family="qwen2",
            context_length_loaded=8192,
            context_length_trained=32768,
            size_bytes=9,
            size_vram_bytes=9,
        ),
        server=ServerReport(name="ollama", version="0.33.0", parallel_count=1),
        dataset=DatasetReport(
            name="synthetic",
            prompt_count=2,
            input_len_target=512,
            output_len_target=128,
            seed=7,
            prefix_cache="busted",
            fingerprint=hashlib.sha256(b'["Why?", "How?"]').hexdigest(),
        ),
        sampling=SamplingReport(temperature=0.5, max_tokens=128, ignore_eos=True, context_tokens=8192),
        runs=[run],
        best_run=0,
        ended_by="all_measured",
        client_region="eu-central-1",
        client_memory_mb=1769,
        warnings=["context_differs"],
        formulas=dict(FORMULAS),
    )


def test_one_question_is_a_workload_that_the_cache_may_know() -> None:
    report = a_report(a_run(a_completed()))

    assert (report.dataset.name, report.dataset.prefix_cache, report.dataset.seed) == (
        "question",
        "shared",
        0,
    )
    assert report.sampling == SamplingReport(
        temperature=None, max_tokens=None, ignore_eos=False, context_tokens=None
    )


@pytest.mark.parametrize(
    ("workload", "name"),
    [({}, "question"), ({"prompts": ["a"]}, "prompts"), ({"prompt_set": "code"}, "code")],
)
def test_dataset_is_named_by_where_prompts_come_from(workload: dict[str, object], name: str) -> None:
    assert a_report(request=asking(**workload)).dataset.name == name


def test_fingerprint_tells_prompts_apart() -> None:
    prompts = [["ab", "c"], ["a", "bc"], ["c", "ab"], ["ab,c"], [], [""], ["\ud800"]]

    assert len({fingerprint(each) for each in prompts}) == len(prompts)


def test_best_run_has_the_highest_throughput() -> None:
    slow = a_run(a_completed(gaps_ms=[20] * 19))
    fast = a_run(a_completed()).model_copy(update={"index": 1})

    assert best_run([slow, fast]) == 1
    assert best_run([slow, slow.model_copy(update={"index": 1})]) == 0
    assert best_run([a_run(a_failed())]) is None
    assert best_run([]) is None


def test_best_run_is_no_run_that_most_requests_failed_in_or_that_had_empty_slots() -> None:
    sound = a_run(a_completed(gaps_ms=[20] * 19))
    failing = a_run(a_completed(), a_failed(1)).model_copy(update={"index": 1})
    empty = a_run(a_completed(), point=Point(2, 2))

    assert best_run([sound, failing, empty]) == 0
    assert best_run([failing]) == 1


def test_best_run_has_the_most_good_requests_where_there_are_limits() -> None:
    limits = GoodputLimits(e2el_ms=1000)
    kept = a_run(a_completed(), goodput=limits)
    fast = a_run(a_completed(0), a_completed(1, gaps_ms=[1] * 999 + [5], output_tokens=1000), goodput=limits)

    assert (fast.good_ratio or 0) < 0.9
    assert (fast.output_throughput_tokens_per_s or 0) > (kept.output_throughput_tokens_per_s or 0)
    assert best_run([kept, fast.model_copy(update={"index": 1})]) == 0


@pytest.mark.parametrize(
    ("workload", "cached_tokens", "expected"),
    [
        ({"prefix_cache": "busted"}, None, 128_000.0),
        ({"prefix_cache": "shared"}, None, None),
        ({"prefix_cache": "shared"}, 560, 100_000.0),
        (None, None, None),
    ],
)
def test_prefill_speed_is_left_out_where_a_cache_may_have_made_it(
    workload: dict[str, object] | None, cached_tokens: int | None, expected: float | None
) -> None:
    run = a_run(
        a_completed(
            input_tokens=2560,
            cached_tokens=cached_tokens,
            timings=ServerTimings(prompt_eval_ms=20, eval_ms=10),
        )
    )
    request = BenchmarkRequest.model_validate({**REQUEST, "workload": workload})

    server_side = a_report(run, request=request).runs[0].server_side

    assert (server_side.prompt_tokens_per_s, server_side.output_tokens_per_s) == (expected, 2000.0)


JUDGED = Expectation(judge=JudgeModel(model="m", rubric="r"))
UNJUDGED = a_run(a_completed()).model_copy(
    update={"quality": quality_of(JUDGED, [1.0], failed_count=0, unjudged_count=1)}
)
TWO_AT_ONCE = a_run(a_completed(0), a_completed(1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"model": ModelFacts(size_bytes=9, size_vram_bytes=8)}, ["partial_gpu_offload"]),
        ({"model": ModelFacts(size_bytes=9, size_vram_bytes=0)}, ["partial_gpu_offload"]),
        ({"model": ModelFacts(size_bytes=9, size_vram_bytes=9)}, []),
        ({"model": ModelFacts(size_bytes=9)}, []),
        ({"server": ServerFacts(parallel_count=1)}, ["server_parallel_exceeded"]),
        ({"server": ServerFacts(parallel_count=2)}, []),
        ({"request": asking(output_tokens=64)}, ["eos_not_ignored"]),
        ({"request": asking(output_tokens=64), "ignores_eos": True}, []),
        (
            {
                "request": BenchmarkRequest.model_validate(
                    {**REQUEST, "workload": {"output_tokens": 64}, "expected": {"contains": ["a"]}}
                )
            },
            [],
        ),
        ({"request": asking(output_tokens=64, ignore_eos=False)}, []),
        ({"context_tokens": 4096, "model": ModelFacts(context_tokens_loaded=2048)}, ["context_differs"]),
        ({"context_tokens": 4096, "model": ModelFacts(context_tokens_loaded=4096)}, []),
        ({"warnings": ["told", "told"]}, ["told"]),
    ],
)
def test_report_warns_of_what_makes_the_whole_doubtful(given: dict[str, object], expected: list[str]) -> None:
    assert a_report(TWO_AT_ONCE, **given).warnings == expected
    assert set(expected) - {"told"} <= set(WARNINGS)


def test_report_warns_of_answers_that_were_not_judged() -> None:
    assert a_report(UNJUDGED).warnings == ["answers_unjudged"]


def test_tool_version_is_the_projects() -> None:
    project = tomllib.loads((Path(rune.__file__).parents[2] / "pyproject.toml").read_text())

    assert rune.__version__ == project["project"]["version"]


def test_every_cost_has_its_formula() -> None:
    given_as_they_are = {
        "currency", "price_usd_per_hour", "price_source", "at_run", "cost_usd", "billed_usd", "billed_seconds",
        "busy_seconds",
    }  # fmt: skip

    assert set(CostReport.model_fields) - given_as_they_are <= set(FORMULAS)


def test_broken_answers_are_said_to_be_perhaps_of_an_end_that_was_ignored() -> None:
    broken = a_run(a_completed(), a_failed(1, code="stream_failed"))

    assert "ignore_eos_suspected" in a_report(broken, ignores_eos=True).warnings
    assert "ignore_eos_suspected" not in a_report(broken, ignores_eos=False).warnings
    assert "ignore_eos_suspected" not in a_report(a_run(a_completed()), ignores_eos=True).warnings
