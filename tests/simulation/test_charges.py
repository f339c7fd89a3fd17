"""The look at charges fails where a receipt is wrong, so that it is worth making after every simulated run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rune.money.receipts import Charge
from rune.rentals import charges
from rune.rentals.record import Rental
from tests.simulation.charges import check_charges
from tests.simulation.mischief import SETTINGS
from tests.simulation.requests import rented_benchmark
from tests.simulation.world import World


def test_receipt_that_lacks_a_tenth_of_what_was_charged_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(vastai=SETTINGS)
    world.submit(rented_benchmark())
    assert world.run().violations == []
    assert world.account is not None
    right = charges.read_for

    def read_too_little(rental: Rental, found: charges.Charges | None) -> charges.Reading:
        reading = right(rental, found)
        if reading.charge is None:
            return reading
        return replace(reading, charge=Charge(reading.charge.micro_usd * 9 // 10, attempt=rental.attempt))

    monkeypatch.setattr("rune.services.charge_reading.read_for", read_too_little)
    check_charges(world, world.account)

    assert [each.split(" says ")[1].split(" ")[1:3] for each in world.violations] == [["micro", "USD"]]
