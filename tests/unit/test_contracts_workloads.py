"""What a workload and an expectation may say."""

import json

import pytest
from pydantic import ValidationError

from rune.contracts import BenchmarkRequest, Expectation, GoodputLimits, Workload

LEAST: dict[str, object] = {"question": "q", "model": "m"}
JUDGE: dict[str, object] = {"model": "j", "rubric": "r"}

ALLOWED: list[dict[str, object]] = [
    {},
    {"prompts": ["p"] * 500},
    {"prompts": ["p" * 100_000] * 10},
    {"repetitions": 1000},
    {"concurrency": [*range(53, 65)]},
    {"request_rates": [0.01, 1, 100]},
    {"sweep": True, "max_concurrency": 64},
    {"warmup_requests": 0},
    {"warmup_requests": 64},
    {"prompt_set": "synthetic", "input_tokens": 16},
    {"prompt_set": "synthetic", "input_tokens": 32_768, "output_tokens": 8192},
    {"temperature": 0, "seed": 2**31 - 1, "point_seconds": 800},
    {"goodput": {"tpot_ms": 0.001}, "point_seconds": 10},
    {"max_blocks": 24},
    {"search": {"limits": {"ttft_ms": 500}}},
    {"search": {"limits": {"ttft_ms": 500}, "good_ratio": 0.99, "max_points": 12}, "sweep": True},
    {"search": {"limits": {"ttft_ms": 500}, "load": "request_rate", "first_request_rate": 100}},
    {"search": {"limits": {"ttft_ms": 500}, "load": "request_rate", "max_request_rate": 0.5}},
]


@pytest.mark.parametrize("fields", ALLOWED)
def test_workload_is_taken_up_to_its_bounds(fields: dict[str, object]) -> None:
    assert Workload.model_validate(fields).model_dump(exclude_unset=True).keys() == fields.keys()


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"prompts": []}, "prompts"),
    ({"prompts": ["p"] * 501}, "prompts"),
    ({"prompts": [""]}, "prompts"),
    ({"prompts": ["p" * 100_001]}, "prompts"),
    ({"prompts": ["p" * 100_000] * 10 + ["p"]}, "together are longer"),
    ({"prompts": ["p"], "prompt_set": "chat"}, "given at once"),
    ({"prompt_set": "poems"}, "prompt_set"),
    ({"prompt_set": "synthetic"}, "input_tokens goes with"),
    ({"prompt_set": "chat", "input_tokens": 100}, "input_tokens goes with"),
    ({"input_tokens": 100}, "input_tokens goes with"),
    ({"repetitions": 0}, "repetitions"),
    ({"repetitions": 1001}, "repetitions"),
    ({"repetitions": "3"}, "repetitions"),
    ({"concurrency": []}, "concurrency"),
    ({"concurrency": [0]}, "concurrency"),
    ({"concurrency": [321]}, "concurrency"),
    ({"concurrency": [*range(1, 14)]}, "concurrency"),
    ({"concurrency": [2, 1]}, "must rise"),
    ({"concurrency": [1, 1]}, "must rise"),
    ({"request_rates": [0.009]}, "request_rates"),
    ({"request_rates": [101]}, "request_rates"),
    ({"request_rates": [2, 1]}, "must rise"),
    ({"request_rates": [float("nan")]}, "request_rates"),
    ({"concurrency": [1], "sweep": True}, "only one of"),
    ({"concurrency": [1], "request_rates": [1]}, "only one of"),
    ({"request_rates": [1], "sweep": True}, "only one of"),
    ({"max_concurrency": 321}, "max_concurrency"),
    ({"output_tokens": 0}, "output_tokens"),
    ({"output_tokens": 8193}, "output_tokens"),
    ({"temperature": 2.1}, "temperature"),
    ({"seed": 2**31}, "seed"),
    ({"seed": -1}, "seed"),
    ({"point_seconds": 9}, "point_seconds"),
    ({"point_seconds": 801}, "point_seconds"),
    ({"goodput": {}}, "at least one limit"),
    ({"goodput": {"ttft_ms": 0}}, "ttft_ms"),
    ({"concurency": [1]}, "concurency"),
    ({"max_blocks": 0}, "max_blocks"),
    ({"max_blocks": 25}, "max_blocks"),
    ({"search": {}}, "limits"),
    ({"search": {"limits": {}}}, "at least one limit"),
    ({"search": {"limits": {"ttft_ms": 5}, "good_ratio": 1}}, "good_ratio"),
    ({"search": {"limits": {"ttft_ms": 5}, "max_points": 13}}, "max_points"),
    ({"search": {"limits": {"ttft_ms": 5}, "resolution_ratio": 0.001}}, "resolution_ratio"),
    (
        {
            "search": {
                "limits": {"ttft_ms": 5},
                "load": "request_rate",
                "first_request_rate": 9,
                "max_request_rate": 8,
            }
        },
        "is above max_request_rate",
    ),
    ({"search": {"limits": {"ttft_ms": 5}, "max_request_rate": 8}}, "max_request_rate goes with load"),
    ({"search": {"limits": {"ttft_ms": 5}}, "concurrency": [1]}, "chooses its loads"),
    ({"search": {"limits": {"ttft_ms": 5}}, "request_rates": [1]}, "chooses its loads"),
    ({"search": {"limits": {"ttft_ms": 5}}, "goodput": {"ttft_ms": 5}}, "limits of its own"),
]


@pytest.mark.parametrize(("fields", "named"), REFUSED)
def test_workload_is_refused_beyond_its_bounds(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Workload.model_validate(fields)


POINTS: list[tuple[dict[str, object], int]] = [
    ({}, 1),
    ({"concurrency": [1, 4, 16]}, 3),
    ({"request_rates": [1, 2]}, 2),
    ({"sweep": True, "max_concurrency": 1}, 1),
    ({"sweep": True, "max_concurrency": 2}, 2),
    ({"sweep": True, "max_concurrency": 3}, 3),
    ({"sweep": True, "max_concurrency": 32}, 6),
    ({"sweep": True, "max_concurrency": 33}, 7),
    ({"sweep": True, "max_concurrency": 64}, 7),
    ({"search": {"limits": {"ttft_ms": 5}}}, 10),
    ({"search": {"limits": {"ttft_ms": 5}, "max_points": 12, "load": "request_rate"}}, 12),
]


@pytest.mark.parametrize(("fields", "count"), POINTS)
def test_workload_has_so_many_points_at_most(fields: dict[str, object], count: int) -> None:
    assert Workload.model_validate(fields).point_count == count


LEVELS: list[tuple[dict[str, object], list[int]]] = [
    ({"sweep": True, "max_concurrency": 6}, [1, 2, 4, 6]),
    ({"search": {"limits": {"ttft_ms": 5}, "max_points": 5}, "max_concurrency": 6}, [1, 2, 4, 6, 6]),
    ({"search": {"limits": {"ttft_ms": 5}, "max_points": 2, "load": "request_rate"}}, [32, 32]),
]


@pytest.mark.parametrize(("fields", "levels"), LEVELS)
def test_workload_knows_the_most_requests_under_way_at_each_point(
    fields: dict[str, object], levels: list[int]
) -> None:
    assert Workload.model_validate(fields).levels == levels


def test_workload_of_several_runs_a_point_counts_what_each_of_them_may_ask() -> None:
    workload = Workload.model_validate({"concurrency": [1, 4], "max_blocks": 3, "point_seconds": 100})

    assert (workload.warmup_count, workload.longest_seconds) == (3 * (2 + 8), 600)
    assert [workload.asked_again_at(level) for level in workload.levels] == [2, 8]
    assert Workload().asked_again_at(8) == 0


METHODS: list[tuple[dict[str, object], str, float]] = [
    ({"contains": ["a"]}, "contains", 1.0),
    ({"regex": "a"}, "regex", 1.0),
    ({"json_schema": {}}, "json_schema", 1.0),
    ({"numeric": {"value": 4}}, "numeric", 1.0),
    ({"judge": JUDGE}, "judge", 0.7),
    ({"judge": JUDGE, "pass_score": 1}, "judge", 1.0),
    ({"contains": ["a", "b"], "pass_score": 0.5}, "contains", 0.5),
]


@pytest.mark.parametrize(("fields", "method", "least_score"), METHODS)
def test_expectation_has_one_method_and_a_least_score(
    fields: dict[str, object], method: str, least_score: float
) -> None:
    expected = Expectation.model_validate(fields)

    assert (expected.method, expected.least_score) == (method, least_score)


NO_EXPECTATION: list[tuple[dict[str, object], str]] = [
    ({}, "exactly one"),
    ({"pass_score": 0.5}, "exactly one"),
    ({"contains": ["a"], "regex": "a"}, "exactly one"),
    ({"contains": []}, "contains"),
    ({"regex": "a" * 1001}, "regex"),
    ({"numeric": {"value": float("inf")}}, "value"),
    ({"numeric": {"value": 1, "tolerance": -1}}, "tolerance"),
    ({"numeric": {"value": 1, "relative_tolerance": 1.1}}, "relative_tolerance"),
    ({"regex": "a", "pass_score": 0}, "pass_score"),
    ({"judge": {"model": "j"}}, "rubric"),
    ({"judge": {**JUDGE, "rubric": "r" * 8001}}, "rubric"),
    ({"judge": {**JUDGE, "api_key": "secret"}}, "api_key"),
]


@pytest.mark.parametrize(("fields", "named"), NO_EXPECTATION)
def test_expectation_is_refused(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Expectation.model_validate(fields)


@pytest.mark.parametrize(
    "fields", [{"context_tokens": 255}, {"context_tokens": 1_048_577}, {"backend_credential": "c" * 65}]
)
def test_benchmark_is_refused_beyond_its_bounds(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BenchmarkRequest.model_validate({**LEAST, **fields})


def test_goodput_of_one_limit_is_enough() -> None:
    assert GoodputLimits.model_validate({"e2el_ms": 3_600_000}).ttft_ms is None


@pytest.mark.parametrize(
    ("workload", "question"),
    [({"prompts": ["Why?", "How?"]}, "Why?"), ({"prompt_set": "chat"}, "chat")],
)
def test_question_is_left_to_a_workload_that_brings_prompts(
    workload: dict[str, object], question: str
) -> None:
    request = BenchmarkRequest.model_validate_json(json.dumps({"model": "m", "workload": workload}))

    assert request.question == question
    assert "question" not in BenchmarkRequest.model_json_schema()["required"]


@pytest.mark.parametrize(
    "rest", [{}, {"workload": None}, {"workload": {"repetitions": 3}}, {"workload": {"prompts": []}}]
)
def test_question_is_required_where_no_prompt_stands_for_it(rest: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refused:
        BenchmarkRequest.model_validate_json(json.dumps({"model": "m", **rest}))

    assert ("question",) in [error["loc"] for error in refused.value.errors()]


@pytest.mark.parametrize(
    ("given", "expected", "ignores"),
    [
        (None, None, True),
        (None, {"numeric": {"value": 42}}, False),
        (True, {"numeric": {"value": 42}}, True),
        (False, None, False),
    ],
)
def test_end_of_text_is_not_ignored_where_answers_are_judged_unless_asked_for(
    given: bool | None, expected: dict[str, object] | None, ignores: bool
) -> None:
    workload = {} if given is None else {"ignore_eos": given}
    request = BenchmarkRequest.model_validate({**LEAST, "workload": workload, "expected": expected})

    assert request.ignores_eos is ignores
