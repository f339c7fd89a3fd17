"""Agents that investigate, through the deployed stack: a live cluster, and recorded cases."""

from __future__ import annotations

import json

import httpx

from local.stack import Stack
from local.tenants import CLUSTER, TENANTS_PATH
from rune.contracts import AgenticAgentResult
from tests.e2e.client import RuneClient, read_result
from tests.e2e.test_secrets import read_logs, read_table

INVESTIGATOR = "investigator-good:latest"


def test_agent_investigates_a_cluster_with_evidence_and_shows_its_credentials_to_nobody(
    rune: RuneClient, stack: Stack
) -> None:
    kubeconfig = json.loads(
        stack.aws.client("ssm").get_parameter(
            Name=f"{TENANTS_PATH}/default/clusters/{CLUSTER}", WithDecryption=True
        )["Parameter"]["Value"]
    )
    asked = {
        "question": "Customers cannot pay. What is wrong?",
        "model": INVESTIGATOR,
        "backend_url": stack.state.simulators["ollama"],
        "cluster": CLUSTER,
    }

    job = rune.wait_for_end(rune.post_job("agentic-agent", asked))

    assert (job.status, job.error) == ("succeeded", None)
    result = read_result(AgenticAgentResult, job)
    assert result.artifacts
    (report,) = (json.loads(str(each["content"])) for each in result.artifacts if each["type"] == "report")
    assert report["status"] == "unhealthy"
    (finding,) = report["findings"]
    assert (finding["cause"], finding["is_supported"]) == ("config_missing", True)
    (link,) = rune.http.get(f"/v1/jobs/{job.job_id}/artifacts").json()["artifacts"]
    transcript = httpx.get(link["url"]).text
    assert finding["evidence"][0]["quote"].split(":")[-1].strip() in transcript
    (user,) = kubeconfig["users"]
    for text in (*read_logs(stack).values(), read_table(stack), job.model_dump_json(), transcript):
        assert user["user"]["token"] not in text


def test_model_is_graded_as_an_investigator_of_recorded_cases(rune: RuneClient, stack: Stack) -> None:
    asked = {
        "model": INVESTIGATOR,
        "backend_url": stack.state.simulators["ollama"],
        "suite": "kubernetes-classics",
        "cases": ["case-01", "case-20"],
        "runs": 1,
    }

    job = rune.wait_for_end(rune.post_benchmark(asked))

    assert (job.status, job.error) == ("succeeded", None)
    report = rune.http.get(f"/v1/benchmarks/{job.job_id}").json()
    assert report["diagnosis"]["pass_at_1"]["value"] == 1.0
    assert [each["case_id"] for each in report["diagnosis"]["cases"]] == ["case-01", "case-20"]
