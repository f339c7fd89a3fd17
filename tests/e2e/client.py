"""RUNE as a caller sees it: over HTTP, in the documents of the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Self

import httpx

from rune.contracts import Document, JobAccepted, JobEvent, JobEvents, JobRecord
from tests.e2e.waiting import wait_until

ENDED = frozenset({"succeeded", "failed", "cancelled"})


def read_result[T: Document](kind: type[T], job: JobRecord) -> T:
    """Return the job's result; from JSON again, as only there a date is a string to strict documents."""
    return kind.model_validate_json(json.dumps(job.result))


class RuneClient:
    """One tenant's client.

    Parameters
    ----------
    headers
        What proves who calls; sent with every request.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        # The gateway of the local stack answers a queue of two hundred in turn, each within milliseconds.
        self.http = httpx.Client(base_url=base_url, headers=headers, timeout=120.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.http.close()

    def post_benchmark(self, body: Mapping[str, object]) -> str:
        """Return the id of the benchmark that was accepted."""
        return self.post_job("benchmark", body)

    def post_job(self, kind: str, body: Mapping[str, object]) -> str:
        """Return the id of the job that was accepted."""
        response = self.http.post(f"/v1/jobs/{kind}", json=body)
        assert response.status_code == 202, response.text
        accepted = JobAccepted.model_validate_json(response.content)
        assert response.headers["location"] == f"/v1/jobs/{accepted.job_id}"
        return accepted.job_id

    def get_job(self, job_id: str) -> JobRecord:
        """Return where the job stands."""
        response = self.http.get(f"/v1/jobs/{job_id}")
        assert response.status_code == 200, response.text
        return JobRecord.model_validate_json(response.content)

    def get_events(self, job_id: str) -> list[JobEvent]:
        """Return the job's history, oldest first."""
        response = self.http.get(f"/v1/jobs/{job_id}/events")
        assert response.status_code == 200, response.text
        return JobEvents.model_validate_json(response.content).events

    def cancel(self, job_id: str) -> JobRecord:
        """Ask to cancel the job; return where it stands then."""
        response = self.http.delete(f"/v1/jobs/{job_id}")
        assert response.status_code == 202, response.text
        return JobRecord.model_validate_json(response.content)

    def wait_for_end(self, job_id: str, *, limit_seconds: float = 90.0) -> JobRecord:
        """Return the job once it has ended."""

        def ended() -> JobRecord | None:
            job = self.get_job(job_id)
            return job if job.status in ENDED else None

        return wait_until(ended, f"job {job_id} has ended", limit_seconds=limit_seconds)

    def wait_for_tokens(self, job_id: str, *, limit_seconds: float = 60.0) -> JobRecord:
        """Return the job once its answer has begun to arrive."""

        def answering() -> JobRecord | None:
            job = self.get_job(job_id)
            return job if int(job.progress.get("chunks", 0)) > 0 else None

        return wait_until(answering, f"job {job_id} is being answered", limit_seconds=limit_seconds)


def bearer(token: str, tenant: str = "default") -> dict[str, str]:
    """Return the headers of a tenant that sends its token as a bearer."""
    return {"X-Tenant-ID": tenant, "Authorization": f"Bearer {token}"}
