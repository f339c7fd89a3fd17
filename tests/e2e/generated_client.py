"""A job, run by a client that was generated. Runs in the environment of the generator."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from rune_generated.api.jobs import get_job, submit_benchmark  # type: ignore[import-not-found]  # made by the test
from rune_generated.client import AuthenticatedClient  # type: ignore[import-not-found]
from rune_generated.models import RunBenchmarkRequest  # type: ignore[import-not-found]

LIMIT_SECONDS = 60.0
ENDED = {"succeeded", "failed", "cancelled"}


def main(base_url: str, token: str, tenant: str, backend_url: str) -> dict[str, Any]:
    """Return what the client understood: types, and members that it gave them."""
    client = AuthenticatedClient(base_url=base_url, token=token)
    body = RunBenchmarkRequest(question="Why?", model="llama3.1:8b", backend_url=backend_url)
    accepted = submit_benchmark.sync(client=client, body=body, x_tenant_id=tenant)
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        job = get_job.sync(accepted.job_id, client=client, x_tenant_id=tenant)
        if job.status.value in ENDED or time.monotonic() > deadline:
            break
        time.sleep(1.0)
    missing = get_job.sync("0" * 32, client=client, x_tenant_id=tenant)
    return {
        "accepted": type(accepted).__name__,
        "job": type(job).__name__,
        "status": job.status.value,
        "result": type(job.result).__name__,
        "output_tokens": job.result and job.result.measurements.output_tokens,
        "missing": [type(missing).__name__, missing.code],
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201
