"""What a server's page of metrics says, and what none can do to its reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.llm.metrics import metrics_of
from rune.llm.prometheus import MAX_LINE_BYTES, Sample, SampleLines, read_samples
from rune.llm.protocol import ServerMetrics

RUNNING = "vllm:num_requests_running"


def read(page: str, model: str = "m") -> ServerMetrics | None:
    return metrics_of(read_samples(page.encode().split(b"\n")), model)


def picked(*pieces: bytes) -> list[bytes]:
    lines = SampleLines([RUNNING, "tgi_queue_size"])
    for piece in pieces:
        lines.feed(piece)
    return lines.finish()


@pytest.mark.parametrize("cut", range(1, 60))
def test_lines_are_picked_however_the_network_cuts_them(cut: int) -> None:
    page = b'# TYPE tgi_queue_size gauge\nvllm:num_requests_running{engine="0"} 3\ntgi_queue_size 2'

    assert picked(page[:cut], page[cut:]) == [b'vllm:num_requests_running{engine="0"} 3', b"tgi_queue_size 2"]


def test_other_names_and_lines_without_end_are_left_out() -> None:
    endless = [
        b"tgi_queue_size " + b"1" * MAX_LINE_BYTES,
        b"1" * MAX_LINE_BYTES,
        b"\ntgi_queue_size_bucket 7\n",
    ]

    assert picked(*endless) == []


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("n 1", Sample("n", {}, 1.0)),
        ("n{} 1.5e3 1795000000000", Sample("n", {}, 1500.0)),
        (r'n{a="x\"}\\ \n",b="",} 2' + "\r", Sample("n", {"a": 'x"}\\ \n', "b": ""}, 2.0)),
        ("n NaN", Sample("n", {}, None)),
        ("n +Inf", Sample("n", {}, None)),
        ("n -1", Sample("n", {}, None)),
        ("n 1e300", Sample("n", {}, None)),
        ("n nine", Sample("n", {}, None)),
    ],
)
def test_sample_is_read_as_the_format_says(line: str, sample: Sample) -> None:
    assert read_samples([line.encode()]) == [sample]


@pytest.mark.parametrize("line", ["", "#", "n", "n{", "n} 1", '{a="b"} 1', "n 1 2 3", "9n 1"])
def test_line_that_is_no_sample_is_left_out(line: str) -> None:
    assert read_samples([line.encode()]) == []


def test_last_of_equal_samples_counts() -> None:
    page = 'vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_running{engine="0"} 4'

    assert read(page) == ServerMetrics("vllm", running_count=4)


def test_engines_add_up_and_the_fullest_memory_counts() -> None:
    page = "\n".join(
        f'{RUNNING}{{engine="{engine}"}} 2\nvllm:kv_cache_usage_perc{{engine="{engine}"}} 0.{engine}'
        for engine in (1, 9, 4)
    )

    assert read(page) == ServerMetrics("vllm", running_count=6, kv_used_ratio=0.9)


def test_ranks_that_work_together_count_once() -> None:
    page = "\n".join(
        f'sglang:num_running_reqs{{dp_rank="{d}",tp_rank="{t}"}} 5' for d in (0, 1) for t in (0, 1)
    )

    assert read(page) == ServerMetrics("sglang", running_count=10)


@pytest.mark.parametrize(("model", "running"), [("m", 1.0), ("adapter", 2.0), ("by-alias", 3.0)])
def test_only_the_model_counts_where_the_page_names_it(model: str, running: float) -> None:
    page = f'{RUNNING}{{model_name="m"}} 1\n{RUNNING}{{model_name="adapter"}} 2'

    assert read(page, model) == ServerMetrics("vllm", running_count=running)


def test_older_names_are_read_where_the_new_ones_are_missing() -> None:
    assert read("vllm:gpu_cache_usage_perc 0.5") == ServerMetrics("vllm", kv_used_ratio=0.5)
    assert read("vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc 0.6") == ServerMetrics(
        "vllm", kv_used_ratio=0.6
    )


def test_llamacpps_prompts_get_the_tokens_from_its_cache() -> None:
    page = "llamacpp:prompt_tokens_total 30\nllamacpp:prompt_tokens_cached_total 10"

    assert read(page) == ServerMetrics("llama.cpp", prompt_tokens=40, cached_tokens=10)


@pytest.mark.parametrize(
    "page",
    [
        'vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_running{engine="1"} NaN',
        "vllm:num_requests_running -1",
        "vllm:num_requests_running 1e300",
        "vllm:kv_cache_usage_perc 43",
    ],
)
def test_number_that_cannot_be_is_not_known(page: str) -> None:
    assert read(page) == ServerMetrics("vllm")


def test_page_of_another_program_says_nothing() -> None:
    assert read("process_cpu_seconds_total 12\ngo_goroutines 7") is None


@given(st.lists(st.binary(max_size=60).map(lambda rest: b"vllm:num_requests_running" + rest)))
def test_no_page_breaks_its_reader(lines: list[bytes]) -> None:
    metrics = metrics_of(read_samples(lines), "m")

    assert metrics is None or metrics.running_count is None or metrics.running_count >= 0
