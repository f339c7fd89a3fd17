"""Every write of a rental, with what it is allowed on, and what each requirement alone keeps out."""

from __future__ import annotations

from dataclasses import replace

from rune.money.receipts import Charge
from rune.rentals import lifecycle
from rune.rentals.record import EndReason, Rental, RentalState
from tests.builders import JOB_ID, NOW, after
from tests.functional.aws.guarded import Guarded
from tests.rental_builders import (
    ALIVE,
    CONTRACT_ID,
    MODEL,
    OTHER_JOB_ID,
    URL,
    a_created_rental,
    a_kept_rental,
    a_released_rental,
    a_releasing_rental,
    a_rental,
    a_running_rental,
)

type Violations = tuple[tuple[str, Rental], ...]


def in_other_states(rental: Rental, *allowed: RentalState) -> Violations:
    """Return the rental in every state in which the write is refused, and else as it was."""
    return tuple(("state", replace(rental, state=state)) for state in RentalState if state not in allowed)


def of_other_versions(rental: Rental) -> Violations:
    """Return the rental as others have written it meanwhile, or had before."""
    versions = (rental.version - 1, rental.version + 1)
    return tuple(("version", replace(rental, version=version)) for version in versions)


def of_other_holders(rental: Rental) -> Violations:
    """Return the rental in another job's hands, and in nobody's."""
    return tuple(("holder", replace(rental, holder=holder)) for holder in (OTHER_JOB_ID, None))


NOTE_CONTRACT = tuple(
    Guarded(
        "note_contract",
        lifecycle.note_contract(rental, CONTRACT_ID, after(3)),
        rental,
        (
            ("contract_id", replace(rental, contract_id=CONTRACT_ID)),
            ("contract_id", replace(rental, contract_id=CONTRACT_ID + 1)),
            *of_other_versions(rental),
        ),
    )
    for rental in (a_rental(), a_releasing_rental(contract_id=None))
)
NOTE_MISSED = tuple(
    Guarded(
        "note_missed",
        lifecycle.note_missed(rental, after(120), after(121)),
        rental,
        (("contract_id", replace(rental, contract_id=CONTRACT_ID)), *of_other_versions(rental)),
    )
    for rental in (a_rental(), a_releasing_rental(contract_id=None))
)
NOTE_ACCOUNT = tuple(
    Guarded(
        "note_account",
        lifecycle.note_account(rental, 7, after(21)),
        rental,
        (("state", a_released_rental(version=rental.version)), *of_other_versions(rental)),
    )
    for rental in (a_rental(), a_created_rental(), a_running_rental(), a_kept_rental(), a_releasing_rental())
)
NOTE_SELF_DESTRUCT = tuple(
    Guarded(
        "note_self_destruct",
        lifecycle.note_self_destruct(rental, after(400)),
        rental,
        (
            *in_other_states(rental, RentalState.RUNNING, RentalState.KEPT),
            *of_other_versions(rental),
        ),
    )
    for rental in (a_running_rental(), a_kept_rental())
)
NOTE_AWAKE = Guarded(
    "note_seen_running",
    lifecycle.note_seen_running(a_created_rental(), after(20), after(21)),
    a_created_rental(),
    (
        *in_other_states(a_created_rental(), RentalState.CREATED),
        *of_other_versions(a_created_rental()),
    ),
)
NOTE_DARK = Guarded(
    "note_seen_stopped",
    lifecycle.note_seen_stopped(a_created_rental(), after(30), after(31)),
    a_created_rental(),
    (
        *in_other_states(a_created_rental(), RentalState.CREATED),
        *of_other_versions(a_created_rental()),
    ),
)
NOTE_PRICE = tuple(
    Guarded(
        "note_price",
        lifecycle.note_price(rental, 500_000, after(21)),
        rental,
        (("state", a_released_rental(version=rental.version)), *of_other_versions(rental)),
    )
    for rental in (a_rental(), a_created_rental(), a_running_rental(), a_kept_rental(), a_releasing_rental())
)
WHILE_HELD = tuple(
    Guarded(
        change.name,
        change,
        rental,
        (
            *in_other_states(rental, RentalState.CREATED, RentalState.RUNNING),
            *of_other_holders(rental),
            *of_other_versions(rental),
        ),
    )
    for rental in (a_created_rental(), a_running_rental())
    for change in (lifecycle.note_running(rental, URL, after(90)),)
)
WHILE_PULLING = tuple(
    Guarded(
        change.name,
        change,
        rental,
        (
            *in_other_states(rental, RentalState.CREATED, RentalState.RUNNING),
            *of_other_holders(rental),
            *of_other_versions(rental),
        ),
    )
    for rental in (a_created_rental(), a_running_rental())
    for change in (
        lifecycle.note_pulling(rental, MODEL, 9_000_000_000, after(120)),
        lifecycle.note_pull_seen(
            rental, 1_900_000_000, after(119), after(120), mbit_per_second=800, is_over=True
        ),
        lifecycle.note_pulled(rental, MODEL, 4_900_000_000, after(120)),
    )
)
WHILE_RUNNING = tuple(
    Guarded(
        change.name,
        change,
        a_running_rental(),
        (
            *in_other_states(a_running_rental(), RentalState.RUNNING),
            *of_other_holders(a_running_rental()),
            *of_other_versions(a_running_rental()),
        ),
    )
    for change in (
        lifecycle.keep(a_running_rental(), after(3600), after(300)),
        lifecycle.give_back(a_running_rental(), after(300)),
        lifecycle.give_back(a_running_rental(), after(300), unfit_for=OTHER_JOB_ID),
    )
)
WHILE_KEPT = tuple(
    Guarded(
        change.name,
        change,
        a_kept_rental(),
        (
            *in_other_states(a_kept_rental(), RentalState.KEPT),
            *of_other_versions(a_kept_rental()),
        ),
    )
    for change in (
        lifecycle.take_kept(a_kept_rental(), JOB_ID, after(600)),
        lifecycle.extend(a_kept_rental(), after(7200), after(600)),
    )
)
ASK_RELEASE = tuple(
    Guarded(
        "ask_release",
        lifecycle.ask_release(rental, EndReason.JOB_ENDED, after(300), "as it should"),
        rental,
        (
            ("state", replace(rental, state=RentalState.RELEASING)),
            ("state", replace(rental, state=RentalState.RELEASED)),
            *of_other_versions(rental),
        ),
    )
    for rental in (a_rental(), a_created_rental(), a_running_rental(), a_kept_rental())
)
NOTE_DESTROYED = tuple(
    Guarded(
        change.name,
        change,
        a_releasing_rental(),
        (
            *in_other_states(a_releasing_rental(), RentalState.RELEASING),
            *of_other_versions(a_releasing_rental()),
        ),
    )
    for change in (
        lifecycle.note_destroyed(a_releasing_rental(), after(310), is_taken=True),
        lifecycle.note_destroyed(a_releasing_rental(), after(310), is_taken=False),
        lifecycle.note_absent(a_releasing_rental(), after(310), after(310)),
    )
)
PROVE_RELEASE = tuple(
    Guarded(
        "prove_release",
        lifecycle.prove_release(rental, after(400), after(401), reason),
        rental,
        (("state", replace(rental, state=RentalState.RELEASED)), *of_other_versions(rental)),
    )
    for rental, reason in (
        *((make(), EndReason.VANISHED) for make in ALIVE.values()),
        (a_releasing_rental(), None),
    )
)
REOPEN = Guarded(
    "reopen",
    lifecycle.reopen(a_released_rental(), CONTRACT_ID, after(900)),
    a_released_rental(),
    (
        *in_other_states(a_released_rental(due_at=NOW), RentalState.RELEASED),
        *of_other_versions(a_released_rental()),
    ),
)
CHARGES = tuple(
    Guarded(
        change.name,
        change,
        a_released_rental(),
        (
            *in_other_states(a_released_rental(due_at=NOW), RentalState.RELEASED),
            *of_other_versions(a_released_rental()),
        ),
    )
    for change in (
        lifecycle.note_charge(
            a_released_rental(), Charge(50_000, 1_000, 900, 1), None, after(900), is_final=False
        ),
        lifecycle.put_off_charge(a_released_rental(), after(900)),
    )
)

GUARDED = (
    *NOTE_CONTRACT,
    *NOTE_MISSED,
    *NOTE_ACCOUNT,
    *NOTE_SELF_DESTRUCT,
    NOTE_AWAKE,
    NOTE_DARK,
    *NOTE_PRICE,
    *WHILE_HELD,
    *WHILE_PULLING,
    *WHILE_RUNNING,
    *WHILE_KEPT,
    *ASK_RELEASE,
    *NOTE_DESTROYED,
    *PROVE_RELEASE,
    REOPEN,
    *CHARGES,
)
"""Held complete by `test_guards.py`: every function that makes a change, every requirement of each."""
