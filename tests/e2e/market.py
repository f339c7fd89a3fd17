"""The stack's simulated Vast.ai, as a test sees and spoils it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract that was ever made.

    Attributes
    ----------
    total_usd
        What it has cost so far.
    destroyed_at
        Epoch seconds.
    """

    contract_id: int
    label: str | None
    exists: bool
    destroyed_by: str | None
    total_usd: float
    destroyed_at: float | None


class Market:
    """The control routes of the simulator."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30.0, trust_env=False)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def contracts_of(self, job_id: str) -> list[Contract]:
        """Return every contract that carries the job's label."""
        return [each for each in self.contracts() if job_id in (each.label or "")]

    def contracts(self) -> list[Contract]:
        """Return every contract ever made."""
        return [
            Contract(
                each["contract_id"],
                each["label"],
                each["exists"],
                each["destroyed_by"],
                float(each["bill"]["total_usd"]),
                each["bill"]["destroyed_at"],
            )
            for each in self._get("/_sim/instances")["instances"]
        ]

    def add_faults(self, *faults: Mapping[str, object]) -> None:
        """Let something go wrong from now on."""
        self._http.post("/_sim/faults", json=list(faults)).raise_for_status()

    def pending_faults(self) -> Sequence[Mapping[str, object]]:
        """Return what is still to go wrong."""
        faults: list[Mapping[str, object]] = self._get("/_sim/faults")["faults"]
        return faults

    def clear_faults(self) -> None:
        """Let everything go well."""
        self._http.delete("/_sim/faults").raise_for_status()

    def plant_foreign(self, label: str | None) -> int:
        """Return a machine that somebody else rents on the same account."""
        planted = self._http.post("/_sim/foreign", json={"label": label})
        planted.raise_for_status()
        return int(planted.json()["contract_id"])

    def touched_foreign(self) -> Sequence[object]:
        """Return every request that touched somebody else's machine."""
        touched: list[object] = self._get("/_sim/foreign")["touched"]
        return touched

    def requests(self, endpoint: str) -> Sequence[Mapping[str, object]]:
        """Return what was asked of an endpoint, oldest first."""
        asked: list[Mapping[str, object]] = self._get(f"/_sim/requests?endpoint={endpoint}")["requests"]
        return asked

    def wait_until_gone(self, job_id: str, *, limit_seconds: float) -> None:
        """Wait until no machine of the job exists."""

        def is_gone() -> bool:
            contracts = self.contracts_of(job_id)
            return bool(contracts) and not any(each.exists for each in contracts)

        wait_until(is_gone, f"what {job_id} rented is gone", limit_seconds=limit_seconds)

    def _get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        response = self._http.get(path)
        response.raise_for_status()
        return response.json()
