"""The simulated Vast.ai at which the stack of these tests rents, as a test sees and spoils it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import httpx

from local.simulators.serving import running_server
from local.simulators.vastai import SimulatedOffer
from local.simulators.vastai.app import create_app
from local.simulators.vastai.default_market import CHEAP_OFFERS, DEFAULT_OFFERS, WANTED_OFFERS
from local.simulators.vastai.local_stack import LocalVastai, quick_settings
from tests.e2e.waiting import wait_until

FRAIL_OFFER = SimulatedOffer(
    offer_id=10_000_401,
    machine_id=27_401,
    gpu_name="RTX 6000Ada",
    gpu_usd_per_hour=1.4,
    gpu_ram_mb=49_140,
    deep_learning_score=300,
)
"""The best of its price range, and the one machine that a test may spoil: others rent beside it."""
SOUND_OFFER = replace(FRAIL_OFFER, offer_id=10_000_402, machine_id=27_402, gpu_usd_per_hour=1.7)
FRAIL_RANGE: Mapping[str, object] = {"min_dph": 1.3, "max_dph": 1.9}
"""In which there are only these two."""


def list_offers() -> tuple[SimulatedOffer, ...]:
    """Return the simulator's own market with its usual machines three times, as many tests rent at once."""
    copies = (
        replace(offer, offer_id=offer.offer_id + step, machine_id=offer.machine_id + step)
        for offer in (*WANTED_OFFERS, *CHEAP_OFFERS)
        for step in (1_000, 2_000)
    )
    return (*DEFAULT_OFFERS, *copies, FRAIL_OFFER, SOUND_OFFER)


@contextmanager
def simulated_market(api_key: str) -> Iterator[str]:
    """Run the simulator while the block runs; gives its address."""
    settings = replace(quick_settings(), api_key=api_key, offers=list_offers())
    with running_server(create_app(LocalVastai.create(settings))) as url:
        yield url


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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
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

    def touched_foreign(self, contract_id: int) -> Sequence[Mapping[str, object]]:
        """Return every request that touched this machine of somebody else."""
        touched: list[Mapping[str, object]] = self._get("/_sim/foreign")["touched"]
        return [request for request in touched if str(contract_id) in str(request["path"])]

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
