from dataclasses import replace

import pytest

from local.simulators.vastai import (
    OLD_OFFERS,
    OVERSTATED_OFFERS,
    SLICED_OFFERS,
    VastaiFault,
    VastaiFaultKind,
)
from tests.unit.local.vastai_caller import SETTINGS, Caller

WHOLE, LEFT, RIGHT, *SINGLES = (offer.offer_id for offer in SLICED_OFFERS)
SLICED = replace(SETTINGS, offers=SLICED_OFFERS)
RELISTED = 100_000_000


def offered_ids(caller: Caller) -> set[int]:
    return {offer["id"] for offer in caller.offers()}


def test_slices_of_a_machine_are_offered_beside_the_whole_of_it() -> None:
    offers = {offer["id"]: offer for offer in Caller(SLICED).offers()}

    assert {offer["machine_id"] for offer in offers.values()} == {27_501}
    assert [(offers[i]["num_gpus"], offers[i]["gpu_frac"]) for i in (WHOLE, LEFT, SINGLES[0])] == [
        (4, 1.0),
        (2, 0.5),
        (1, 0.25),
    ]
    assert offers[RIGHT]["gpu_ids"] == [2, 3]


@pytest.mark.parametrize(
    ("rented", "left"),
    [
        (WHOLE, set()),
        (LEFT, {RIGHT, *SINGLES[2:]}),
        (SINGLES[0], {RIGHT, *SINGLES[1:]}),
    ],
)
def test_renting_a_slice_takes_every_offer_that_shares_a_gpu_with_it(rented: int, left: set[int]) -> None:
    caller = Caller(SLICED)
    caller.rent(rented)

    assert offered_ids(caller) == left
    assert caller.order(WHOLE).status == 404


def test_slices_come_back_under_other_ids_when_the_one_that_took_them_is_given_back() -> None:
    caller = Caller(SLICED)
    kept = caller.rent(SINGLES[3])
    caller.destroy(caller.rent(LEFT))

    assert offered_ids(caller) == {number + RELISTED for number in (LEFT, *SINGLES[:2])} | {SINGLES[2]}
    caller.destroy(kept)
    assert {number % RELISTED for number in offered_ids(caller)} == {
        offer.offer_id for offer in SLICED_OFFERS
    }


def test_whole_machine_stays_taken_while_any_slice_is_rented() -> None:
    caller = Caller(SLICED)
    first, second = caller.rent(LEFT), caller.rent(RIGHT)
    caller.destroy(first)

    assert WHOLE not in {number % RELISTED for number in offered_ids(caller)}
    caller.destroy(second)
    assert WHOLE in {number % RELISTED for number in offered_ids(caller)}


def test_slices_leave_the_market_when_another_account_takes_their_gpus() -> None:
    caller = Caller(SLICED)
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.ASK_GONE))
    caller.order(LEFT)

    assert offered_ids(caller) == {RIGHT, *SINGLES[2:]}


def test_gpus_that_the_image_cannot_use_are_told_by_architecture_capability_and_cuda() -> None:
    offers = Caller(replace(SETTINGS, offers=OLD_OFFERS)).offers()

    assert [(offer["gpu_arch"], offer["compute_cap"], offer["cuda_max_good"]) for offer in offers] == [
        ("amd", 942, 12.8),
        ("nvidia", 370, 11.4),
        ("nvidia", 860, 11.2),
    ]
    assert [offer.usable_vram_mb for offer in OLD_OFFERS] == [0, 0, 24_576]


def test_driver_that_is_too_old_for_the_image_never_starts_it() -> None:
    caller = Caller(replace(SETTINGS, offers=OLD_OFFERS))
    contract_id = caller.rent(10_000_603)
    caller.now += 3_600

    shown = caller.show(contract_id)
    assert shown is not None
    assert (shown["actual_status"], "unsatisfied condition: cuda>=12.0" in shown["status_msg"]) == (
        "created",
        True,
    )


def test_host_pulls_slower_than_it_states() -> None:
    caller = Caller(replace(SETTINGS, offers=OVERSTATED_OFFERS))
    assert caller.offers()[0]["inet_down"] == 2_000
    contract_id = caller.rent(OVERSTATED_OFFERS[0].offer_id)
    caller.now += 60
    caller.vastai.advance()

    assert caller.host.machines[contract_id].download_bytes_per_second == pytest.approx(1_000_000)


def test_next_host_pulls_slower_than_it_states_when_told_so() -> None:
    caller = Caller()
    caller.vastai.faults.add(VastaiFault(kind=VastaiFaultKind.SLOW_HOST, bandwidth_ratio=0.01))
    slow, other = caller.rent(), caller.rent(112)
    caller.now += 60
    caller.vastai.advance()

    speeds = [caller.host.machines[number].download_bytes_per_second for number in (slow, other)]
    assert speeds == [pytest.approx(1_125_000), pytest.approx(112_500_000)]
