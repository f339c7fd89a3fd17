from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from rune.jobs.receipts import Receipt, make_receipt
from rune.jobs.record import Job
from rune.money.receipts import PROVIDERS, Line, LineKind, sum_of
from rune.rentals.bills import cost_micro_usd, cost_of_holder_micro_usd
from rune.rentals.lifecycle import keep, prove_release, reopen
from rune.rentals.record import EndReason, Rental, RentalState
from rune.storage.change import apply
from rune.workflows.rental.machine_uses import add_late_costs, list_uses
from tests.builders import JOB_ID, NOW, a_claimed_job, after
from tests.rental_builders import (
    CONTRACT_ID,
    OTHER_JOB_ID,
    RENTAL_ID,
    a_kept_rental_of,
    a_rental,
    a_rental_of,
    a_running_rental,
)

PHASES_MS = {"pull": 200_000, "load": 30_000, "first_token": 10_000, "measure": 600_000}


def a_renting_job(**overrides: object) -> Job:
    return a_claimed_job(**{"rents": True, "rental_id": RENTAL_ID, "phases_ms": PHASES_MS, **overrides})


def an_ended_rental(rental: Rental, asked_seconds: float, gone_seconds: float) -> Rental:
    """Return a rental that was asked to end at a moment and proven gone at a later one."""
    asked = replace(rental, state=RentalState.RELEASING, release_asked_at=after(asked_seconds))
    gone_at = after(gone_seconds)
    return apply(prove_release(asked, gone_at, gone_at, EndReason.JOB_ENDED), asked)


def amounts(lines: Sequence[Line]) -> dict[tuple[str, str], int]:
    return {(line.kind.value, line.phase): line.micro_usd for line in lines}


def test_machine_is_paid_for_in_the_phases_of_its_job() -> None:
    rental = an_ended_rental(a_running_rental(), 1_000, 1_060)

    (use,) = list_uses(a_renting_job(), (rental,), rental, NOW)

    # 100 millionths a second for the GPU from second 60, and 3.33 for the disk from the order. It answered at 90.
    assert amounts(use.lines) == {
        ("gpu", "boot"): 3_000,
        ("gpu", "pull"): 20_000,
        ("gpu", "load"): 4_000,
        ("gpu", "work"): 60_000,
        ("gpu", "wait"): 7_000,
        ("gpu", "release"): 6_000,
        ("disk", "boot"): 300,
        ("disk", "pull"): 667,
        ("disk", "load"): 133,
        ("disk", "work"): 2_001,
        ("disk", "wait"): 233,
        ("disk", "release"): 200,
        ("traffic", "boot"): 6_000,
        ("traffic", "pull"): 14_700,
    }
    assert sum(line.micro_usd for line in use.lines) == rental.cost_micro_usd
    assert (use.attempt, use.gpu_name, use.end_reason) == (1, "RTX 4090", "job_ended")


@pytest.mark.parametrize(
    ("reason", "phase"), [(EndReason.MODEL_FAILED, "pull"), (EndReason.MACHINE_LOST, "work")]
)
def test_earlier_attempt_is_paid_for_where_it_failed(reason: EndReason, phase: str) -> None:
    first = replace(an_ended_rental(a_running_rental(), 300, 330), end_reason=reason)
    second = an_ended_rental(
        a_running_rental(rental_id=f"{JOB_ID}-2", attempt=2, holder=JOB_ID), 1_000, 1_060
    )

    uses = list_uses(a_renting_job(rental_id=second.rental_id), (first, second), second, NOW)

    assert [use.attempt for use in uses] == [1, 2]
    assert amounts(uses[0].lines)["gpu", phase] == 21_000
    assert {line.attempt for line in uses[0].lines} == {1}


def test_machine_that_never_answered_was_booting() -> None:
    rental = an_ended_rental(a_running_rental(running_at=None, downloaded_bytes=0), 200, 260)

    (use,) = list_uses(a_renting_job(phases_ms={}), (rental,), rental, NOW)

    assert amounts(use.lines)["gpu", "boot"] == 14_000
    assert amounts(use.lines)["gpu", "release"] == 6_000


def test_order_without_a_machine_is_left_out() -> None:
    assert list_uses(a_renting_job(), (a_rental(),), None, NOW) == ()


def test_kept_machine_is_paid_for_up_to_now() -> None:
    rental = a_running_rental()

    (use,) = list_uses(a_renting_job(), (rental,), rental, after(500))

    assert sum(line.micro_usd for line in use.lines) == cost_micro_usd(rental, after(500))
    assert use.end_reason is None


def test_kept_machine_tells_until_when_and_what_it_may_cost_more() -> None:
    held = replace(a_running_rental(), budget_at=after(0))
    kept = apply(keep(held, after(9_000), after(1_000), left_micro_usd=515_550), held)

    (own,) = list_uses(a_renting_job(), (kept,), None, after(1_000))
    (ended,) = list_uses(a_renting_job(), (an_ended_rental(kept, 1_000, 1_060),), None, after(1_100))

    assert own.kept_until == kept.kept_until
    assert 0 < own.kept_micro_usd == kept.budget_micro_usd
    assert (ended.kept_until, ended.kept_micro_usd) == (None, 0)


def test_kept_machine_is_shared_even_if_it_has_ended_before_its_job() -> None:
    kept = replace(a_running_rental(), kept_until=after(9_000), holder=None)

    (use,) = list_uses(a_renting_job(), (an_ended_rental(kept, 1_000, 1_060),), None, after(1_100))

    assert (use.attempt, use.end_reason, use.is_shared) == (1, None, True)


def test_borrowed_machine_is_paid_for_from_its_borrowing() -> None:
    rental = a_kept_rental_of(
        OTHER_JOB_ID,
        state=RentalState.RUNNING,
        holder=JOB_ID,
        held_since=after(1_000),
        borrowed_from_bytes=4_900_000_000,
        downloaded_bytes=5_900_000_000,
    )

    (use,) = list_uses(a_renting_job(rental_id=rental.rental_id), (), rental, after(2_000))

    assert sum(line.micro_usd for line in use.lines) == cost_of_holder_micro_usd(rental, after(2_000))
    assert use.attempt is None
    assert amounts(use.lines)["traffic", "pull"] == 3_000


def test_borrowed_machine_that_was_given_back_has_no_lines_of_its_own() -> None:
    rental = a_kept_rental_of(OTHER_JOB_ID)

    (use,) = list_uses(a_renting_job(rental_id=rental.rental_id), (), rental, after(2_000))

    assert use.lines == ()


def come_back(gone: Rental, gone_seconds: float) -> Rental:
    """Return a rental whose machine was there again a minute after it was called gone, and is gone now."""
    back = apply(reopen(gone, CONTRACT_ID, after(gone_seconds - 60)), gone)
    gone_at = after(gone_seconds)
    return apply(prove_release(back, gone_at, gone_at), back)


def a_receipt(*rentals: Rental) -> Receipt:
    """Return the receipt of a job that ended with these rentals."""
    uses = list_uses(a_renting_job(), rentals, rentals[-1], NOW)
    cost_micro_usd = sum(rental.cost_micro_usd or 0 for rental in rentals)
    return make_receipt(a_renting_job(cost_micro_usd=cost_micro_usd), uses)


def test_receipt_gets_what_a_machine_has_cost_that_came_back_after_the_jobs_end() -> None:
    gone = an_ended_rental(a_running_rental(), 1_000, 1_060)
    last = come_back(gone, 1_360)
    receipt = a_receipt(gone)

    complete = add_late_costs(receipt, (last,), after(2_000))

    (use,) = complete.uses
    late = [line for line in complete.lines if line.phase == "late"]
    # Five minutes more of GPU and disk.
    assert amounts(late) == {("gpu", "late"): 30_000, ("disk", "late"): 1_000}
    assert use.lines == (*receipt.uses[0].lines, *late)
    assert sum_of(complete.lines, *PROVIDERS) == last.cost_micro_usd
    assert use.end_reason == "orphaned"
    assert complete.lines[-1].kind is LineKind.AWS


def test_receipt_gets_the_machine_that_an_order_has_made_after_it_was_called_lost() -> None:
    never_made = apply(prove_release(a_rental(), after(200), after(200), EndReason.CREATE_LOST), a_rental())
    second = an_ended_rental(a_running_rental(rental_id=f"{JOB_ID}-2", attempt=2), 1_000, 1_060)
    last = come_back(never_made, 1_360)

    complete = add_late_costs(a_receipt(never_made, second), (last, second), after(2_000))

    assert {use.rental_id: sum(line.micro_usd for line in use.lines) for use in complete.uses} == {
        second.rental_id: second.cost_micro_usd,
        last.rental_id: last.cost_micro_usd,
    }


def test_receipt_stays_as_it_is_when_no_machine_came_back() -> None:
    gone = an_ended_rental(a_running_rental(), 1_000, 1_060)
    kept = apply(keep(a_running_rental(), after(9_000), after(1_000)), a_running_rental())

    for rental in (gone, kept):
        assert add_late_costs(a_receipt(gone), (rental,), after(2_000)) == a_receipt(gone)


def test_cost_that_was_written_counts_where_it_differs_from_the_prices() -> None:
    rental = replace(an_ended_rental(a_rental_of(JOB_ID, contract_id=1), 100, 200), cost_micro_usd=10_001)

    (use,) = list_uses(a_renting_job(), (rental,), rental, NOW)

    assert sum(line.micro_usd for line in use.lines) == 10_001
    assert {line.kind for line in use.lines} == {LineKind.GPU, LineKind.DISK, LineKind.TRAFFIC}
