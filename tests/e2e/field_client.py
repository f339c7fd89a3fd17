"""A client as RUNE's clients in the field are: what it sends and the fields it reads, and nothing else.

It knows nothing of our contracts on purpose. What it is made from is a description of what such clients do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

REQUEST_TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 2.0
WELL = frozenset({"succeeded", "success", "completed"})
BADLY = frozenset({"failed", "error", "cancelled", "canceled"})


class ShownError(Exception):
    """What the client shows to its user instead of a result."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that ended well: its result, and the messages shown meanwhile."""

    result: dict[str, Any]
    shown: list[str]


class FieldClient:
    """One user's client; closes its connections at the end of its block."""

    def __init__(self, base_url: str, tenant: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={
                "X-Tenant-ID": tenant,
                "Authorization": f"Bearer {token}",
                "X-API-Key": token,
            },
            timeout=REQUEST_TIMEOUT_SECONDS,
            trust_env=False,
        )
        # httpx adds one by itself.
        del self._http.headers["accept"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the document at a path."""
        return self._read(self._http.get(path, params=query))

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> dict[str, Any]:
        """Return the answer to a document; a key goes bare."""
        headers = {"Idempotency-Key": key} if key else {}
        return self._read(self._http.post(path, json=dict(body), headers=headers))

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job."""
        return self._read(self._http.delete(f"/v1/jobs/{job_id}"))

    def end_rental(self, job_id: str) -> None:
        """End what a job rented and left running."""
        for rental in self.get("/v1/rentals")["rentals"]:
            if rental["job_id"] == job_id:
                self._read(self._http.delete(f"/v1/rentals/{rental['rental_id']}"))

    def submit(self, kind: str, body: Mapping[str, Any], key: str | None = None) -> str:
        """Return the id of a new job."""
        job_id = self.post(f"/v1/jobs/{kind}", body, key)["job_id"]
        assert isinstance(job_id, str)
        assert job_id
        return job_id

    def wait(self, job_id: str, *, limit_seconds: float = 90.0) -> Ended:
        """Poll until the job has ended; raises ShownError where it ended badly."""
        shown: list[str] = []
        last_status = ""
        deadline = time.monotonic() + limit_seconds
        while time.monotonic() < deadline:
            job = self.get(f"/v1/jobs/{job_id}")
            status = str(job["status"]).lower()
            if status != last_status:
                shown.append(job["message"])
                last_status = status
            if status in WELL:
                assert isinstance(job["result"], dict)
                return Ended(job["result"], shown)
            if status in BADLY:
                raise ShownError(job.get("error") or job.get("message"))
            time.sleep(POLL_SECONDS)
        raise ShownError("timed out")

    @staticmethod
    def _read(response: httpx.Response) -> dict[str, Any]:
        if response.status_code >= 400:
            try:
                error = response.json().get("error")
            except ValueError:
                error = None
            raise ShownError(error if isinstance(error, str) else response.text)
        document = response.json()
        assert isinstance(document, dict)
        return document
