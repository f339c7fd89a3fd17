"""Conversations with servers of each kind, over HTTP: a server that keeps what it has read tells so by turn."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from local.simulators.scripted import Script
from rune.bench.prompts import make_prompts
from rune.bench.records import Point
from rune.bench.runs import fold_run
from rune.contracts import Workload
from tests.functional.bench.serving import Served
from tests.functional.bench.truth import TASK, measure

# Of some 100 tokens each: a server keeps blocks of 16.
TALK = [f"{part} " * 100 for part in ("one", "two", "six")]
TASK_OF_TALKS = replace(
    TASK, prompts=make_prompts("", Workload.model_validate({"prompts": [TALK]})), repetitions=4
)


@pytest.mark.parametrize(("kind", "tells"), [("openai", True), ("ollama", False)])
def test_later_turns_come_from_the_cache_as_far_as_the_server_tells(kind: str, tells: bool) -> None:
    served = Served(
        Script(ttft_ms=10.0, gap_ms=1.0), engine="vllm" if tells else None, has_prefix_cache=tells
    )

    trial = measure(kind, served, TASK_OF_TALKS, Point(0, 2))

    run = fold_run(trial.measured, None, None)
    assert run.turns is not None
    assert [(row.num_prompts, row.completed) for row in run.turns] == [(4, 4)] * 3
    lengths = [row.input_tokens.mean for row in run.turns if row.input_tokens]
    assert all(100 <= later - earlier <= 130 for earlier, later in pairwise(lengths))
    assert "prompt_truncated" not in run.warnings
    ratios = [row.cached_input_ratio for row in run.turns]
    if not tells:
        assert (ratios, run.cached_input_ratio, run.cached_input_source) == ([None] * 3, None, None)
        assert run.server_side.prompt_tokens_per_s is None
        return
    assert ratios == [0.0, pytest.approx(0.45, abs=0.08), pytest.approx(0.63, abs=0.08)]
    assert run.cached_input_source == "usage"
    assert "prefix_cache_hits" not in run.warnings
    assert run.server is not None
    assert run.server.prefix_cache_hit_ratio == pytest.approx(run.cached_input_ratio, abs=0.02)
