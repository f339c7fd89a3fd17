"""Files of an agent's result."""

from __future__ import annotations

import json
from types import ModuleType

import pytest

from rune.jobs.record import Kind
from tests.builders import JOB_ID
from tests.cloud import Cloud
from tests.functional.functions.asking import get, put_result

ARTIFACTS = f"/v1/jobs/{JOB_ID}/artifacts"
NAME = "transcript-3.jsonl"


def put_answer(cloud: Cloud, *artifacts: dict[str, str]) -> None:
    result = {"answer": "Fine.", "result_type": "structured", "artifacts": [*artifacts], "metadata": {}}
    put_result(cloud, json.dumps(result), kind=Kind.AGENTIC_AGENT)


def test_transcript_is_linked_for_a_quarter_of_an_hour(api: ModuleType, cloud: Cloud) -> None:
    import requests  # noqa: PLC0415  # moto answers for it

    cloud.s3.put_object(
        Bucket="rune-test", Key=f"results/{JOB_ID}/artifacts/{NAME}", Body=b'{"role": "user"}'
    )
    put_answer(cloud, {"type": "transcript", "file": NAME}, {"type": "finding", "cause": "oom_killed"})

    document = get(api, ARTIFACTS).document

    (link,) = document["artifacts"]
    assert (document["job_id"], link["kind"], link["name"]) == (JOB_ID, "transcript", NAME)
    assert link["expires_at"] == "2026-11-23T12:15:00Z"
    assert requests.get(link["url"], timeout=5).text == '{"role": "user"}'


@pytest.mark.parametrize(
    "artifact",
    [
        {"type": "transcript", "file": "../../another/transcript-3.jsonl"},
        {"type": "transcript"},
        {"type": "tool_call", "file": NAME},
    ],
    ids=["a way out", "no file", "an agent's own"],
)
def test_nothing_else_of_an_agents_answer_is_linked(
    api: ModuleType, cloud: Cloud, artifact: dict[str, str]
) -> None:
    put_answer(cloud, artifact)

    response = get(api, ARTIFACTS)

    assert (response.status, response.document) == (200, {"job_id": JOB_ID, "artifacts": []})


def test_benchmark_has_no_artifacts(api: ModuleType, cloud: Cloud) -> None:
    put_result(cloud, "{}", kind=Kind.BENCHMARK)

    assert get(api, ARTIFACTS).document["artifacts"] == []
