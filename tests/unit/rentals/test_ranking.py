from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.rentals.forecast import ExpectedUse
from rune.rentals.hosts import HostRecord
from rune.rentals.offers import Offer, RejectionReason
from rune.rentals.ranking import (
    Floor,
    Market,
    Selection,
    explain_choice,
    is_settled,
    select_offers,
)
from tests.builders import NOW
from tests.unit.rentals.scripted import a_wanted, an_offer

REQUIREMENTS = a_wanted()
USE = ExpectedUse(image_gb=2.0, weights_gb=13.0, token_count=500)
NOTHING_KNOWN = Market()


def usd(price: str) -> dict[str, object]:
    """Return the fields of an offer at a price."""
    return {"price_usd_per_hour": Decimal(price), "gpu_usd_per_hour": Decimal(price)}


def choose(*offers: Offer, use: ExpectedUse = USE, market: Market = NOTHING_KNOWN) -> list[int]:
    """Return the machines that fit, best first."""
    wanted = replace(REQUIREMENTS, max_usd_per_hour=Decimal(5))
    return [each.offer.machine_id for each in select_offers(offers, wanted, use, market).candidates]


SHORT, LONG = replace(USE, token_count=500), replace(USE, token_count=200_000)
RTX_4090 = an_offer(machine_id=1, **usd("0.40"))
TWO_RTX_4090 = an_offer(machine_id=2, gpu_count=2, vram_mb=49_128, **usd("0.59"))
H100 = an_offer(machine_id=3, vram_mb=81_559, memory_gb_per_second=3350.0, **usd("2.39"))
TWO_RTX_PRO = an_offer(machine_id=4, gpu_count=2, vram_mb=195_774, memory_gb_per_second=1790.0, **usd("2.55"))
SLOW_HOST = an_offer(machine_id=5, download_mbit_per_second=160.0, **usd("0.35"))
DEAR_TRAFFIC = an_offer(machine_id=6, download_usd_per_gb=Decimal("0.02"), **usd("0.39"))
OLD_GPU = an_offer(machine_id=7, memory_gb_per_second=250.0, **usd("0.30"))


@pytest.mark.parametrize(
    ("offers", "use", "order"),
    [
        ([TWO_RTX_4090, RTX_4090], SHORT, [1, 2]),
        ([TWO_RTX_PRO, H100], SHORT, [3, 4]),
        ([TWO_RTX_PRO, H100], LONG, [3, 4]),
        ([SLOW_HOST, RTX_4090], SHORT, [1, 5]),
        ([DEAR_TRAFFIC, RTX_4090], SHORT, [1, 6]),
        ([OLD_GPU, RTX_4090], SHORT, [7, 1]),
        ([OLD_GPU, RTX_4090], LONG, [1, 7]),
        ([H100, RTX_4090], LONG, [1, 3]),
    ],
    ids=[
        "one GPU is enough",
        "twice the memory bandwidth at a lower price",
        "and for long work",
        "cheapest by the hour, and slow to download",
        "cheapest by the hour, and dear traffic",
        "a slow GPU for one answer",
        "a slow GPU for much work",
        "a faster GPU that is not worth its price",
    ],
)
def test_offers_are_ordered_by_what_the_job_costs_on_them(
    offers: list[Offer], use: ExpectedUse, order: list[int]
) -> None:
    assert choose(*offers, use=use) == order


def test_offers_that_cost_the_same_are_ordered_by_gpus_then_reliability_then_number() -> None:
    first, second = an_offer(machine_id=1, offer_id=1), an_offer(machine_id=2, offer_id=2)
    two = an_offer(machine_id=3, offer_id=0, gpu_count=2)

    assert choose(two, second, first) == [1, 2, 3]


def test_host_that_failed_lately_is_left_alone_and_then_taken_last() -> None:
    other = an_offer(machine_id=2, **usd("0.45"))
    hosts = {1: HostRecord(1, NOW)}

    lately = Market(hosts=hosts, now=NOW + timedelta(minutes=59))
    later = Market(hosts=hosts, now=NOW + timedelta(minutes=61))

    assert choose(RTX_4090, other) == [1, 2]
    assert choose(RTX_4090, other, market=lately) == [2]
    assert choose(RTX_4090, other, market=later) == [2, 1]


@pytest.mark.parametrize(("minutes", "machines"), [(9.9, []), (10.1, [1])])
def test_host_that_failed_lately_is_taken_after_some_minutes_where_no_other_fits(
    minutes: float, machines: list[int]
) -> None:
    unfit = an_offer(machine_id=2, vram_mb=8_000)
    market = Market(hosts={1: HostRecord(1, NOW)}, now=NOW + timedelta(minutes=minutes))

    selection = select_offers(
        [RTX_4090, unfit], replace(REQUIREMENTS, max_usd_per_hour=Decimal(5)), USE, market
    )

    assert [each.offer.machine_id for each in selection.candidates] == machines
    assert selection.is_last_resort is bool(machines)
    # Another one may fit that is dearer.
    assert not is_settled(selection, USE, Decimal("Infinity"))
    assert (2, RejectionReason.VRAM) in selection.rejections


def test_host_that_failed_this_job_is_not_taken_where_no_other_fits() -> None:
    market = Market({1}, {1: HostRecord(1, NOW)}, NOW + timedelta(minutes=30))

    assert choose(RTX_4090, market=market) == []


def test_host_that_downloaded_slowly_is_taken_last() -> None:
    slow = Market(hosts={1: HostRecord(mbit_per_second=8.0)}, now=NOW)

    assert choose(RTX_4090, TWO_RTX_4090, market=slow) == [2, 1]


def test_floor_is_honoured_and_tells_what_it_excluded() -> None:
    wanted = replace(REQUIREMENTS, min_usd_per_hour=Decimal("2.3"), max_usd_per_hour=Decimal(3))
    unfit = an_offer(machine_id=9, is_verified=False, **usd("0.1"))

    selection = select_offers([RTX_4090, TWO_RTX_4090, H100, unfit], wanted, USE, NOTHING_KNOWN)

    assert [each.offer.machine_id for each in selection.candidates] == [3]
    # 55 GB of disk at 0.2 USD a month cost 0.0153 USD per hour.
    assert selection.floor is not None
    assert (selection.floor.count, f"{selection.floor.from_usd_per_hour:.4f}") == (2, "0.4153")


@pytest.mark.parametrize("floor", ["0", "0.4"])
def test_floor_is_none_when_it_excludes_nothing(floor: str) -> None:
    wanted = replace(REQUIREMENTS, min_usd_per_hour=Decimal(floor))

    assert select_offers([RTX_4090], wanted, USE, NOTHING_KNOWN).floor is None


def test_selection_tells_the_reason_of_every_machine_that_it_leaves() -> None:
    small, far = an_offer(machine_id=1, vram_mb=8000), an_offer(machine_id=2, port_count=0)
    failed = an_offer(machine_id=3)

    selection = select_offers([small, far, failed], REQUIREMENTS, USE, Market(failed_machines={3}))

    assert selection == Selection(
        (), ((1, RejectionReason.VRAM), (2, RejectionReason.PORTS), (3, RejectionReason.FAILED_BEFORE))
    )


@pytest.mark.parametrize(("seconds", "machines"), [(600, [1, 5]), (300, [1]), (60, [])])
def test_machine_is_left_on_which_the_job_would_end_before_its_model_is_loaded(
    seconds: float, machines: list[int]
) -> None:
    # 15 GB at 160 and at 913 Mbit/s, and a load of 6.5 s: 757 and 138 s, of which half must fit.
    use = replace(USE, time_left=timedelta(seconds=seconds))

    wanted = replace(REQUIREMENTS, max_usd_per_hour=Decimal(5))
    selection = select_offers([SLOW_HOST, RTX_4090], wanted, use, NOTHING_KNOWN)

    assert [each.offer.machine_id for each in selection.candidates] == machines
    late = {1, 5} - set(machines)
    assert {number for number, reason in selection.rejections if reason is RejectionReason.TOO_LATE} == late
    assert (selection.least_loaded_after is None) is (not late)


def test_choice_is_explained_by_its_cost_and_the_next_best() -> None:
    selection = select_offers(
        [RTX_4090, TWO_RTX_4090], replace(REQUIREMENTS, max_usd_per_hour=Decimal(1)), USE, NOTHING_KNOWN
    )

    assert explain_choice(selection) == (
        "0.0487 USD expected: 0.4153 USD per hour for 160 s, 0.0300 USD of traffic, odds 0.996; "
        "next 2 2x RTX 4090 0.0572"
    )
    alone = replace(selection, candidates=selection.candidates[:1])
    assert explain_choice(alone).endswith("odds 0.996")


def test_next_best_is_another_machine_than_the_chosen_one() -> None:
    wanted = replace(REQUIREMENTS, max_usd_per_hour=Decimal(1))
    again = replace(RTX_4090, offer_id=77, price_usd_per_hour=RTX_4090.price_usd_per_hour + Decimal("0.001"))

    selection = select_offers([RTX_4090, again, TWO_RTX_4090], wanted, USE, NOTHING_KNOWN)

    assert [each.offer.machine_id for each in selection.candidates] == [1, 1, 2]
    assert "; next 2 2x RTX 4090" in explain_choice(selection)
    assert "; next" not in explain_choice(replace(selection, candidates=selection.candidates[:2]))


@pytest.mark.parametrize(("price", "expected"), [("0.5", False), ("30", True), ("Infinity", True)])
def test_search_is_settled_when_no_dearer_offer_can_win(price: str, expected: bool) -> None:
    selection = select_offers([an_offer(machine_id=1)], REQUIREMENTS, USE, NOTHING_KNOWN)

    assert is_settled(selection, USE, Decimal(price)) is expected


def test_search_is_not_settled_when_nothing_fits() -> None:
    assert not is_settled(Selection((), ()), USE, Decimal("Infinity"))


offers = st.builds(
    an_offer,
    offer_id=st.integers(1, 50),
    machine_id=st.integers(1, 9),
    gpu_count=st.integers(1, 4),
    vram_mb=st.integers(20_000, 24_000),
    price_usd_per_hour=st.decimals(0, 1, places=4),
    gpu_usd_per_hour=st.decimals(0, 1, places=4),
    storage_usd_per_gb_month=st.decimals(0, 2, places=3),
    download_usd_per_gb=st.decimals(0, Decimal("0.03"), places=3),
    disk_gb=st.floats(40, 70),
    reliability_ratio=st.floats(0.98, 1),
    is_verified=st.booleans(),
    port_count=st.integers(-1, 3),
    download_mbit_per_second=st.floats(0, 400),
    time_left=st.timedeltas(timedelta(0), timedelta(hours=4)),
    memory_gb_per_second=st.floats(0, 4000),
    disk_mb_per_second=st.floats(0, 8000),
    compute_capability=st.sampled_from([0, 370, 610, 890, 942, 1200]),
    cuda_version=st.sampled_from([0.0, 11.2, 12.4, 12.8, 13.0]),
    gpu_maker=st.sampled_from(["nvidia", "amd", ""]),
    is_rentable=st.booleans(),
)


@given(st.lists(offers, max_size=12), st.sets(st.integers(1, 9)))
def test_selection_never_takes_an_offer_that_violates_a_term(found: list[Offer], failed: set[int]) -> None:
    selection = select_offers(found, REQUIREMENTS, USE, Market(failed_machines=failed))

    assert len(selection.candidates) + len(selection.rejections) == len(found)
    costs = [each.forecast.expected_usd for each in selection.candidates]
    assert costs == sorted(costs)
    for offer in (each.offer for each in selection.candidates):
        price = offer.gpu_usd_per_hour + offer.storage_usd_per_gb_month * 55 / 720
        assert Decimal("0.1") <= max(price, offer.price_usd_per_hour) <= Decimal("0.5")
        assert offer.is_rentable
        assert offer.is_verified
        assert offer.machine_id not in failed
        assert offer.gpu_maker != "amd"
        assert offer.compute_capability >= 500
        assert offer.cuda_version >= (12.4 if offer.compute_capability == 890 else 12.8) or (
            offer.compute_capability == 942 and offer.cuda_version >= 12.4
        )
        assert offer.vram_mb >= 22_000
        assert offer.disk_gb >= 55
        assert offer.reliability_ratio >= 0.99
        assert offer.port_count >= 1
        assert offer.download_mbit_per_second * 1200 >= 23 * 8000 - 0.001
        assert offer.download_usd_per_gb <= Decimal("0.02")
        assert offer.time_left >= timedelta(hours=2)


@given(st.lists(offers, max_size=12))
def test_selection_is_the_same_however_the_market_is_listed(found: list[Offer]) -> None:
    by_id = list({offer.offer_id: offer for offer in found}.values())

    forward = select_offers(by_id, REQUIREMENTS, USE, NOTHING_KNOWN)
    backward = select_offers(by_id[::-1], REQUIREMENTS, USE, NOTHING_KNOWN)

    assert forward.candidates == backward.candidates
    assert forward.floor == backward.floor
    assert forward.floor is None or isinstance(forward.floor, Floor)


def test_select_offers_leaves_out_what_costs_more_than_the_job_may() -> None:
    free = select_offers([RTX_4090, H100], replace(REQUIREMENTS, max_usd_per_hour=Decimal(5)), LONG, Market())
    dear, cheap = free.candidates[1].forecast, free.candidates[0].forecast
    between = replace(LONG, most_usd=(dear.once_usd + cheap.once_usd) / 2)

    capped = select_offers(
        [RTX_4090, H100], replace(REQUIREMENTS, max_usd_per_hour=Decimal(5)), between, Market()
    )

    assert [each.offer.machine_id for each in capped.candidates] == [1]
    assert capped.rejections == ((3, RejectionReason.COST_CAP),)
    # With what two minutes of the machine cost.
    assert capped.least_usd_beyond_cap == dear.once_usd + dear.usd_per_hour * 120 / 3600


def test_select_offers_counts_what_is_kept_for_the_end() -> None:
    (only,) = select_offers([RTX_4090], REQUIREMENTS, USE, Market()).candidates
    enough = only.forecast.once_usd + only.forecast.usd_per_hour * 120 / 3600

    assert choose(RTX_4090, use=replace(USE, most_usd=enough)) == [1]
    assert choose(RTX_4090, use=replace(USE, most_usd=enough - Decimal("1e-9"))) == []
