"""A client of the simulated Vast.ai for tests, with a clock that stands still."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, override

from local.simulators.vastai import (
    BootScript,
    MachineHost,
    RentedMachine,
    SimulatedOffer,
    SimulatedVastai,
    Traffic,
    VastaiSettings,
    VastAnswer,
    VastRequest,
)

BEGAN_AT = 1_790_000_000.0
KEY = "Bearer vastai-simulator-key"
BOOT = BootScript(null_seconds=10, loading_seconds=50)
OFFER = SimulatedOffer(
    offer_id=111,
    machine_id=27_111,
    gpu_name="RTX 4090",
    gpu_usd_per_hour=0.36,
    gpu_ram_mb=24_564,
    storage_usd_per_gb_month=0.18,
    inet_down_usd_per_gb=0.01,
)
SECOND_OFFER = replace(OFFER, offer_id=112, machine_id=27_112, gpu_usd_per_hour=0.72, gpu_name="H100 SXM")
SETTINGS = VastaiSettings(offers=(OFFER, SECOND_OFFER), boot=BOOT, rate_limits=False, credit_usd=Decimal(10))


class RecordingHost(MachineHost):
    """Records its calls, and reports the traffic that a test sets."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.machines: dict[int, RentedMachine] = {}
        self.bytes: dict[int, Traffic] = {}

    @override
    def start(self, machine: RentedMachine) -> int:
        self.told.append(f"start {machine.contract_id}")
        self.machines[machine.contract_id] = machine
        return 40_000 + len(self.told)

    @override
    def stop(self, contract_id: int) -> None:
        self.told.append(f"stop {contract_id}")

    @override
    def forget(self, contract_id: int) -> None:
        self.told.append(f"forget {contract_id}")

    @override
    def traffic(self, contract_id: int) -> Traffic:
        return self.bytes.get(contract_id, Traffic())


@dataclass
class Caller:
    """A client with the account's key, and the simulator's clock."""

    settings: VastaiSettings = SETTINGS
    host: RecordingHost = field(default_factory=RecordingHost)
    now: float = BEGAN_AT

    def __post_init__(self) -> None:
        self.vastai = SimulatedVastai(self.settings, now=lambda: self.now, host=self.host)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = KEY,
        address: str = "127.0.0.1",
        **query: str,
    ) -> VastAnswer:
        request = VastRequest(
            method=method, path=path, body=body, query=query, authorization=key, address=address
        )
        return self.vastai.answer(request)

    def read(self, method: str, path: str, body: object = None, **query: str) -> dict[str, Any]:
        answer = self.ask(method, path, body, **query)
        assert isinstance(answer.body, dict)
        return answer.body

    def order(self, offer_id: int = 111, **body: object) -> VastAnswer:
        full = {"image": "ollama/ollama", "runtype": "args", "disk": 40, "label": "rune-1", **body}
        return self.ask("PUT", f"/api/v0/asks/{offer_id}/", full)

    def rent(self, offer_id: int = 111, **body: object) -> int:
        members = self.order(offer_id, **body).body
        assert isinstance(members, dict)
        assert members["success"] is True
        assert isinstance(members["new_contract"], int)
        return members["new_contract"]

    def show(self, contract_id: int) -> dict[str, Any] | None:
        shown: dict[str, Any] | None = self.read("GET", f"/api/v0/instances/{contract_id}/")["instances"]
        return shown

    def status(self, contract_id: int) -> str | None:
        shown = self.show(contract_id)
        assert shown is not None
        status: str | None = shown["actual_status"]
        return status

    def listed_ids(self, **query: str) -> list[int]:
        return [row["id"] for row in self.read("GET", "/api/v1/instances/", **query)["instances"]]

    def destroy(self, contract_id: int) -> VastAnswer:
        return self.ask("DELETE", f"/api/v0/instances/{contract_id}/", {})

    def offers(self, **body: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.read("POST", "/api/v0/bundles/", body)["offers"]
        return found
