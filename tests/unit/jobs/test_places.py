from dataclasses import replace
from datetime import datetime

import pytest

from rune.jobs import places
from rune.jobs.places import (
    SHARE_KEPT,
    Places,
    Share,
    Slot,
    Terms,
    choose_share,
    estimate_wait_seconds,
    may_begin_at_once,
)
from rune.storage.change import Change, allows, apply
from tests.builders import JOB_ID, NOW, TENANT, a_job, after


def a_share(tenant: str, running: int = 0, waiting: int = 1, **overrides: object) -> Share:
    """Return the share of a tenant that has a job waiting."""
    share = Share(tenant, running=running, waiting=waiting)
    return replace(share, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


CHOICES: list[tuple[str, list[Share], str | None]] = [
    ("no tenants", [], None),
    ("none waits", [a_share("a", 3, waiting=0)], None),
    ("the fewest running", [a_share("a", 2), a_share("b", 1), a_share("c", 3)], "b"),
    ("the fewest running, of those that wait", [a_share("a", 2), a_share("b", 1, waiting=0)], "a"),
    ("twice as many for weight 2", [a_share("a", 1), a_share("b", 2, weight=2)], "b"),
    ("no more than twice as many", [a_share("a", 1), a_share("b", 4, weight=2)], "a"),
    ("a heavier one first of two without jobs", [a_share("a"), a_share("b", weight=2)], "b"),
    (
        "the longest ago of those alike",
        [a_share("a", admitted_at=after(-1)), a_share("b", admitted_at=after(-9))],
        "b",
    ),
    ("one that never had a job, of those alike", [a_share("a", admitted_at=after(-9)), a_share("b")], "b"),
    ("by name, of those alike in all", [a_share("b"), a_share("a")], "a"),
    ("one at its limit is passed over", [a_share("a", 2, max_running=2), a_share("b", 9)], "b"),
    ("all are at their limit", [a_share("a", 2, max_running=2), a_share("b", 3, max_running=2)], None),
    ("one below its limit", [a_share("a", 1, max_running=2)], "a"),
]


@pytest.mark.parametrize(("shares", "chosen"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES])
def test_choose_share_takes_the_tenant_with_the_fewest_running_jobs_for_its_weight(
    shares: list[Share], chosen: str | None
) -> None:
    share = choose_share(shares, NOW)

    assert (share.tenant if share else None) == chosen


def test_choose_share_takes_none_that_is_excluded() -> None:
    shares = [a_share("a"), a_share("b", 5)]

    assert choose_share(shares, NOW, {"a"}) == shares[1]
    assert choose_share(shares, NOW, {"a", "b"}) is None


def test_slots_go_to_tenants_by_weight_while_all_have_jobs_that_wait() -> None:
    shares = {
        name: a_share(name, weight=weight, waiting=99) for name, weight in [("a", 1), ("b", 2), ("c", 3)]
    }

    for second in range(12):
        chosen = choose_share([*shares.values()], after(second))
        assert chosen is not None
        shares[chosen.tenant] = replace(chosen, running=chosen.running + 1, admitted_at=after(second))

    assert {name: share.running for name, share in shares.items()} == {"a": 2, "b": 4, "c": 6}


def test_one_slot_goes_round_by_weight_and_starves_no_tenant() -> None:
    shares = {name: a_share(name, weight=weight, waiting=99) for name, weight in [("a", 1), ("b", 3)]}
    chosen_names = []

    for second in range(100):
        chosen = choose_share([*shares.values()], after(second))
        assert chosen is not None
        chosen_names.append(chosen.tenant)
        shares[chosen.tenant] = replace(chosen, admitted_at=after(second))

    assert 20 <= chosen_names.count("a") <= 35


BEGINNINGS: list[tuple[str, tuple[Share, ...], Terms, bool]] = [
    ("no other jobs", (), Terms(), True),
    ("an earlier job of its own waits", (a_share(TENANT),), Terms(), False),
    ("no job waits", (a_share("acme", 4, waiting=0),), Terms(), True),
    ("another tenant has fewer running", (a_share(TENANT, 2, waiting=0), a_share("acme", 1)), Terms(), False),
    ("another tenant has more running", (a_share(TENANT, 1, waiting=0), a_share("acme", 2)), Terms(), True),
    ("its own weight counts", (a_share(TENANT, 2, waiting=0), a_share("acme", 1)), Terms(weight=3), True),
    ("it is at its limit", (a_share(TENANT, 2, waiting=0),), Terms(max_running=2), False),
    ("its limit was raised", (a_share(TENANT, 2, 0, max_running=2),), Terms(max_running=3), True),
    ("another tenant is at its limit", (a_share("acme", 1, max_running=1),), Terms(), True),
]


@pytest.mark.parametrize(
    ("shares", "terms", "expected"), [row[1:] for row in BEGINNINGS], ids=[row[0] for row in BEGINNINGS]
)
def test_job_may_begin_at_once_when_it_would_be_the_next_to_be_admitted(
    shares: tuple[Share, ...], terms: Terms, *, expected: bool
) -> None:
    assert may_begin_at_once(Places((), shares), TENANT, terms, NOW) is expected


ESTIMATES: list[tuple[str, tuple[Share, ...], int, int, int | None]] = [
    ("no job has ended yet", (a_share(TENANT),), 1, 5, None),
    ("no share at all", (), 1, 5, None),
    ("all slots are its own", (a_share(TENANT, mean_run_seconds=100),), 5, 5, 100),
    ("one slot", (a_share(TENANT, mean_run_seconds=100),), 3, 1, 300),
    (
        "half of the slots",
        (a_share(TENANT, mean_run_seconds=100), a_share("acme", 1, waiting=0)),
        4,
        4,
        200,
    ),
    (
        "by weight",
        (a_share(TENANT, mean_run_seconds=100, weight=3), a_share("acme")),
        3,
        4,
        100,
    ),
    (
        "tenants without jobs take no part",
        (a_share(TENANT, mean_run_seconds=100), a_share("acme", waiting=0)),
        4,
        4,
        100,
    ),
    ("its own limit", (a_share(TENANT, mean_run_seconds=100, max_running=2),), 4, 5, 200),
    (
        "never less than one slot",
        (a_share(TENANT, mean_run_seconds=100), *(a_share(f"t{n}") for n in range(9))),
        1,
        5,
        100,
    ),
]


@pytest.mark.parametrize(
    ("shares", "position", "slot_count", "seconds"),
    [row[1:] for row in ESTIMATES],
    ids=[row[0] for row in ESTIMATES],
)
def test_estimate_is_the_time_of_those_before_by_the_tenants_part_of_the_slots(
    shares: tuple[Share, ...], position: int, slot_count: int, seconds: int | None
) -> None:
    assert estimate_wait_seconds(Places((), shares), TENANT, position, slot_count) == seconds


def test_free_numbers_are_those_that_no_job_has() -> None:
    taken = Places((Slot(0, job_id="a"), Slot(2, job_id="b"), Slot(7, job_id="c")), ())

    assert taken.free_numbers(4) == (1, 3)
    # Fewer slots than before: a job may still have one of a higher number.
    assert taken.free_numbers(1) == ()


def test_share_of_a_tenant_without_one_is_empty() -> None:
    share = a_share("acme", 2)

    assert Places((), (share,)).share_of("acme") == share
    assert Places((), (share,)).share_of(TENANT) == Share(TENANT)


def test_slot_is_taken_once_and_freed_by_its_own_job_alone() -> None:
    taken = apply(places.take_slot(a_job(), NOW), Slot(3))

    assert taken == Slot(3, version=1, updated_at=NOW, job_id=JOB_ID, tenant=TENANT)
    assert not allows(places.take_slot(a_job(job_id="other"), NOW), taken)
    assert not allows(places.free_slot("other", NOW), taken)
    assert not allows(places.free_slot(JOB_ID, NOW), Slot(3))
    assert apply(places.free_slot(JOB_ID, after(1)), taken) == Slot(3, version=2, updated_at=after(1))


TERMS = Terms(weight=2, max_running=3, max_waiting=4)


def test_count_begun_counts_a_running_job_and_takes_the_tenants_terms_over() -> None:
    share = apply(places.count_begun(TERMS, NOW), Share(TENANT, running=1))

    assert share == Share(
        TENANT,
        version=1,
        updated_at=NOW,
        running=2,
        weight=2,
        max_running=3,
        admitted_at=NOW,
        expires_at=NOW + SHARE_KEPT,
    )


def test_count_waiting_counts_a_waiting_job_and_takes_the_tenants_terms_over() -> None:
    share = apply(places.count_waiting(TERMS, NOW), Share(TENANT, running=1, waiting=2))

    assert share == Share(
        TENANT,
        version=1,
        updated_at=NOW,
        running=1,
        waiting=3,
        weight=2,
        max_running=3,
        expires_at=NOW + SHARE_KEPT,
    )


def test_count_admitted_moves_a_job_from_waiting_to_running() -> None:
    share = a_share(TENANT, 1, waiting=2, max_running=3)

    admitted = apply(places.count_admitted(share, NOW), share)

    assert (admitted.running, admitted.waiting, admitted.admitted_at) == (2, 1, NOW)
    assert admitted.expires_at == NOW + SHARE_KEPT


def test_count_given_up_counts_a_job_out_that_waited() -> None:
    share = apply(places.count_given_up(NOW), a_share(TENANT, 1, waiting=2))

    assert (share.running, share.waiting) == (1, 1)


LIMITED: list[tuple[Change, Share, bool]] = [
    (places.count_begun(TERMS, NOW), a_share(TENANT, 2), True),
    (places.count_begun(TERMS, NOW), a_share(TENANT, 3), False),
    (places.count_waiting(TERMS, NOW), a_share(TENANT, 9, waiting=3), True),
    (places.count_waiting(TERMS, NOW), a_share(TENANT, 0, waiting=4), False),
    (places.count_admitted(a_share(TENANT, max_running=3), NOW), a_share(TENANT, 2), True),
    (places.count_admitted(a_share(TENANT, max_running=3), NOW), a_share(TENANT, 3), False),
    (places.count_given_up(NOW), a_share(TENANT, 99, waiting=99), True),
    (places.count_ended(a_share(TENANT), 1.0, NOW), a_share(TENANT, 99, waiting=99), True),
]


@pytest.mark.parametrize(("change", "share", "expected"), LIMITED)
def test_counts_keep_to_the_tenants_limits(change: Change, share: Share, *, expected: bool) -> None:
    assert allows(change, share) is expected


@pytest.mark.parametrize(
    ("mean_seconds", "ran_seconds", "expected"),
    [(None, 90.4, 90), (100, 200.0, 120), (100, 0.0, 80), (None, 0.0, 1)],
)
def test_count_ended_smooths_how_long_the_tenants_jobs_run(
    mean_seconds: int | None, ran_seconds: float, expected: int
) -> None:
    share = a_share(TENANT, 2, mean_run_seconds=mean_seconds)

    ended = apply(places.count_ended(share, ran_seconds, NOW), share)

    assert (ended.running, ended.waiting, ended.mean_run_seconds) == (1, 1, expected)


@pytest.mark.parametrize("instant", [NOW, after(3600)])
def test_share_is_kept_for_longer_than_any_job_waits_and_runs(instant: datetime) -> None:
    share = apply(places.count_waiting(TERMS, instant), Share(TENANT))

    assert share.expires_at is not None
    assert (share.expires_at - instant).days > 7 + 1 + 2
