from dataclasses import replace
from decimal import Decimal

import pytest

from local.simulators.vastai import BootFailure, Loss, Stream, Traffic, VastaiFault, VastaiFaultKind
from local.simulators.vastai.bills import Bill
from tests.unit.local.vastai_caller import BEGAN_AT, BOOT, SETTINGS, Caller

# The offer: 0.36 $/h is 0.0001 $/s; 40 GB at 0.18 $/GB/month of 720 h is 0.01 $/h; downloads cost 0.01 $/GB,
# uploads 0.002 $/GB.
IMAGE_USD = Decimal("0.019")
"""1.9 GB."""


def bill_after(caller: Caller, seconds: float) -> Bill:
    contract_id = caller.rent()
    caller.now += seconds
    return caller.vastai.bill(contract_id)


def test_bill_of_a_whole_life_adds_up() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.host.bytes[contract_id] = Traffic(4_900_000_000, sent_bytes=2_000_000_000)
    caller.now += 60 + 3_600
    caller.destroy(contract_id)
    caller.now += 86_400
    assert caller.vastai.bill(contract_id) == Bill(
        contract_id=contract_id,
        gpu_usd=Decimal("0.360000"),
        disk_usd=Decimal("0.010167"),
        download_usd=Decimal("0.068000"),
        upload_usd=Decimal("0.004000"),
        total_usd=Decimal("0.442167"),
        created_at=BEGAN_AT,
        running_at=BEGAN_AT + 60,
        destroyed_at=BEGAN_AT + 3_660,
    )
    assert caller.vastai.credit_usd == Decimal(10) - Decimal("0.442167")


@pytest.mark.parametrize(
    ("failure", "gpu_usd", "disk_usd", "download_usd"),
    [
        (None, "0.354", "0.01", IMAGE_USD),
        (BootFailure.STUCK_NULL, "0", "0.01", 0),
        (BootFailure.STUCK_LOADING, "0", "0.01", IMAGE_USD),
        (BootFailure.EXITED, "0", "0.01", IMAGE_USD),
        (BootFailure.PULL_ERROR, "0", "0.01", 0),
        (BootFailure.MISSING_PORT, "0.354", "0.01", IMAGE_USD),
        (BootFailure.OFFLINE, "0", "0.000028", 0),
    ],
)
def test_hour_costs_what_its_states_cost(
    failure: BootFailure | None, gpu_usd: str, disk_usd: str, download_usd: Decimal
) -> None:
    bill = bill_after(Caller(replace(SETTINGS, boot=replace(BOOT, failure=failure))), 3_600)
    assert (bill.gpu_usd, bill.disk_usd, bill.download_usd) == (
        Decimal(gpu_usd),
        Decimal(disk_usd),
        download_usd,
    )


def test_stopped_instance_goes_on_paying_for_its_disk() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.now += 60 + 100
    caller.ask("PUT", f"/api/v0/instances/{contract_id}/", {"state": "stopped"})
    caller.now += 72_000 - 160
    bill = caller.vastai.bill(contract_id)
    assert (bill.gpu_usd, bill.disk_usd) == (Decimal("0.01"), Decimal("0.2"))


def test_machine_that_is_offline_costs_nothing() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.now += 160
    caller.vastai.lose(contract_id, Loss.OFFLINE)
    before = caller.vastai.bill(contract_id)
    caller.now += 86_400
    assert caller.vastai.bill(contract_id) == before


def test_bid_is_what_its_gpu_costs_and_a_new_bid_counts_from_then_on() -> None:
    caller = Caller()
    contract_id = caller.rent(price=0.18)
    caller.now += 60 + 1_800
    bid = {"client_id": "me", "price": 0.36}
    assert caller.read("PUT", f"/api/v0/instances/bid_price/{contract_id}/", bid) == {"success": True}
    caller.now += 1_800
    assert caller.vastai.bill(contract_id).gpu_usd == Decimal("0.27")


def test_bid_that_falls_below_the_minimum_stops_the_machine() -> None:
    caller = Caller()
    contract_id = caller.rent(price=0.2)
    caller.now += 60
    caller.ask("PUT", f"/api/v0/instances/bid_price/{contract_id}/", {"price": 0.1})
    assert caller.status(contract_id) == "stopped"


@pytest.mark.parametrize("looks_every_seconds", [7, 50_000])
def test_everything_stops_when_the_credit_is_used_up(looks_every_seconds: int) -> None:
    caller = Caller(replace(SETTINGS, credit_usd=Decimal("0.391167")))
    contract_id = caller.rent()
    # 0.019 for the image and 0.000167 for the disk while it boots leave 0.372, which last 3619.5 s at 0.37 $/h.
    for _ in range(50_000 // looks_every_seconds):
        caller.now += looks_every_seconds
        caller.vastai.advance()
    assert caller.status(contract_id) == "stopped"
    bill = caller.vastai.bill(contract_id)
    assert bill.gpu_usd == pytest.approx(Decimal("0.361946"), abs=Decimal("0.000001"))
    assert caller.vastai.credit_usd < 0


def test_strangers_with_an_open_port_are_billed_in_both_directions() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.now += 60
    stream = Stream(since=caller.now, received_bytes_per_second=1e6, sent_bytes_per_second=125e6)
    caller.vastai.add_traffic(contract_id, Traffic(1_000_000_000, sent_bytes=3_000_000_000), stream)
    caller.now += 1_000
    caller.ask("PUT", f"/api/v0/instances/{contract_id}/", {"state": "stopped"})
    caller.now += 86_400

    bill = caller.vastai.bill(contract_id)
    assert (bill.download_usd, bill.upload_usd) == (IMAGE_USD + Decimal("0.02"), Decimal("0.256"))


def test_strangers_use_up_the_credit() -> None:
    caller = Caller(replace(SETTINGS, credit_usd=Decimal(1)))
    contract_id = caller.rent()
    caller.now += 60
    stream = Stream(since=caller.now, sent_bytes_per_second=125e6)
    caller.vastai.add_traffic(contract_id, Traffic(), stream)
    for _ in range(80):
        caller.now += 60
        caller.vastai.advance()

    # 0.00025 $/s for the traffic and 0.000103 for the machine.
    assert caller.status(contract_id) == "stopped"
    assert caller.vastai.bill(contract_id).upload_usd == pytest.approx(Decimal("0.695"), abs=Decimal("0.001"))


def test_disk_of_a_stopped_instance_is_dearer_when_told_so() -> None:
    caller = Caller()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.STORAGE_DEARER, price_factor=3.0))
    contract_id = caller.rent()
    caller.now += 3_600
    caller.ask("PUT", f"/api/v0/instances/{contract_id}/", {"state": "stopped"})
    caller.now += 3_600

    assert caller.vastai.bill(contract_id).disk_usd == Decimal("0.04")


@pytest.mark.parametrize("looks_every_seconds", [60, 7_260])
def test_price_rises_while_the_machine_runs_when_told_so(looks_every_seconds: int) -> None:
    caller = Caller()
    rise = VastaiFault(kind=VastaiFaultKind.PRICE_RISE, delay_seconds=3_660, price_factor=1.5)
    caller.vastai.faults.add(rise)
    contract_id = caller.rent()
    prices = []
    for _ in range(7_260 // looks_every_seconds):
        caller.now += looks_every_seconds
        shown = caller.show(contract_id)
        assert shown is not None
        prices.append(shown["dph_base"])

    assert prices[-1] == pytest.approx(0.54)
    assert caller.vastai.bill(contract_id).gpu_usd == Decimal("0.36") + Decimal("0.54")


def test_price_can_be_raised_at_once() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.now += 60 + 3_600
    caller.vastai.raise_price(contract_id, 2.0)
    caller.now += 3_600

    assert caller.vastai.bill(contract_id).gpu_usd == Decimal("1.08")


def test_nothing_can_be_rented_or_started_without_credit() -> None:
    caller = Caller()
    contract_id = caller.rent()
    caller.vastai.add_credit(Decimal(-20))
    assert caller.status(contract_id) == "stopped"
    refused = caller.order(112)
    assert (refused.status, isinstance(refused.body, dict) and refused.body["error"]) == (
        400,
        "insufficient_credit",
    )
    started = caller.ask("PUT", f"/api/v0/instances/{contract_id}/", {"state": "running"})
    assert started.status == 400


def test_credit_is_what_the_account_says() -> None:
    caller = Caller()
    caller.rent()
    caller.now += 60 + 3_600
    user = caller.read("GET", "/api/v0/users/current")
    assert (user["credit"], user["balance"]) == (pytest.approx(10 - 0.36 - 0.010167 - 0.019), 0.0)
