"""Every write of a rental's row, as a conditional change.

`intended -> created -> running -> (kept ->) releasing -> released`. A row goes to `releasing` from any other state,
and from `released` back to it if the provider lists the machine again. `rune.rentals.reconciliation` decides which
write is due. A write that changes the state requires the version, by which the event that it leaves is numbered
(`rune.rentals.public_events`).
"""

from dataclasses import replace
from datetime import datetime, timedelta

from rune.money.receipts import Charge
from rune.rentals.bills import (
    come_bytes,
    cost_micro_usd,
    cost_of_holder_micro_usd,
    cost_so_far_micro_usd,
)
from rune.rentals.cost_cap import most_cost_micro_usd
from rune.rentals.record import EndReason, Rental, RentalState
from rune.storage.change import Change, Is, IsOneOf, Value, apply, make_change

RELEASE_MARGIN = timedelta(minutes=5)
"""Time after a job's deadline in which its machine is released."""

REMEMBERED = timedelta(days=30)
"""How long the row of a released rental is kept."""

CHARGES_READ_EVERY = timedelta(days=1)
"""From the proof of a machine's end to the first reading of the provider's charges, and from one to the next."""

LONGEST_DETAIL = 200

_HELD = (RentalState.CREATED, RentalState.RUNNING)
_NOT_ENDING = (RentalState.INTENDED, *_HELD, RentalState.KEPT)


def note_contract(rental: Rental, contract_id: int, now: datetime) -> Change:
    """Return the write that ties the rental to the provider's contract, by answer or by label."""
    return make_change(
        "note_contract",
        now,
        requires=(Is("contract_id", None), Is("version", rental.version)),
        sets={
            "contract_id": contract_id,
            "state": RentalState.CREATED if rental.state is RentalState.INTENDED else rental.state,
        },
    )


def note_missed(rental: Rental, missed_at: datetime, now: datetime) -> Change:
    """Return the write that says a listing lacks the machine of an order whose contract is not known."""
    return make_change(
        "note_missed",
        now,
        requires=(Is("version", rental.version), Is("contract_id", None)),
        sets={"missed_at": missed_at},
    )


def note_seen_stopped(rental: Rental, seen_at: datetime, now: datetime) -> Change:
    """Return the write that says the machine was seen not running."""
    return make_change(
        "note_seen_stopped",
        now,
        requires=(Is("state", RentalState.CREATED), Is("version", rental.version)),
        sets={"last_seen_stopped_at": seen_at},
    )


def note_seen_running(rental: Rental, seen_at: datetime, now: datetime) -> Change:
    """Return the write that says the machine was seen running, for the first time."""
    return make_change(
        "note_seen_running",
        now,
        requires=(Is("state", RentalState.CREATED), Is("version", rental.version)),
        sets={"first_seen_running_at": seen_at},
    )


def note_price(rental: Rental, micro_usd_per_hour: int, now: datetime) -> Change:
    """Return the write for a machine that costs more than its offer said; the disk's share is unchanged.

    A kept machine stays for as long as the money for the rest of its time lasts now.
    """
    gpu_micro_usd = micro_usd_per_hour - rental.prices.disk_micro_usd_per_hour
    shortened: dict[str, Value] = {}
    if rental.state is RentalState.KEPT and rental.kept_until is not None and rental.ceiling_at > now:
        rest = (rental.ceiling_at - now) * (rental.prices.micro_usd_per_hour / micro_usd_per_hour)
        # Instants are stored as whole milliseconds.
        ceiling_at = now + timedelta(milliseconds=rest // timedelta(milliseconds=1))
        shortened = {"ceiling_at": ceiling_at, "kept_until": min(rental.kept_until, ceiling_at)}
    return make_change(
        "note_price",
        now,
        requires=(IsOneOf("state", (*_NOT_ENDING, RentalState.RELEASING)), Is("version", rental.version)),
        sets={"prices": replace(rental.prices, gpu_micro_usd_per_hour=gpu_micro_usd), **shortened},
    )


def note_account(rental: Rental, account_id: int, now: datetime) -> Change:
    """Return the write that says which account pays for the machine."""
    return make_change(
        "note_account",
        now,
        requires=(IsOneOf("state", (*_NOT_ENDING, RentalState.RELEASING)), Is("version", rental.version)),
        sets={"account_id": account_id},
    )


def note_self_destruct(rental: Rental, seen_at: datetime) -> Change:
    """Return the write that says that the script which destroys the machine was seen to have started."""
    return make_change(
        "note_self_destruct",
        seen_at,
        requires=(
            IsOneOf("state", (RentalState.RUNNING, RentalState.KEPT)),
            Is("version", rental.version),
        ),
        sets={"self_destruct_seen_at": seen_at},
    )


def note_running(rental: Rental, url: str, now: datetime, *, is_open: bool = True) -> Change:
    """Return the write that says the machine's server answered at an address.

    Parameters
    ----------
    is_open
        Whether it answers anyone; False if it has refused a request without its key.
    """
    return make_change(
        "note_running",
        now,
        requires=(IsOneOf("state", _HELD), Is("holder", rental.holder), Is("version", rental.version)),
        sets={"state": RentalState.RUNNING, "url": url, "is_open": is_open},
        sets_once={"running_at": now},
    )


def note_pulling(rental: Rental, model: str, most_bytes: int, now: datetime) -> Change:
    """Return the write that says which model the machine downloads, and how many bytes that may take at most.

    What has come of the same model before goes on to count, and the most that may come never falls. Of another
    model all counts that may have come.
    """
    goes_on = rental.pulling_model == model and rental.pulling_bytes > 0
    begun: dict[str, Value] = {} if goes_on else {"pulled_bytes": 0, "pulled_at": now}
    return make_change(
        "note_pulling",
        now,
        requires=(IsOneOf("state", _HELD), Is("holder", rental.holder), Is("version", rental.version)),
        sets={
            "pulling_model": model,
            "pulling_bytes": max(most_bytes, rental.pulling_bytes) if goes_on else most_bytes,
            **_model_of_its_job(rental, model),
            **begun,
        },
        adds={"downloaded_bytes": 0 if goes_on else rental.pulling_bytes},
    )


def note_pull_seen(
    rental: Rental,
    pulled_bytes: int,
    seen_at: datetime,
    now: datetime,
    *,
    mbit_per_second: int,
    is_over: bool,
) -> Change:
    """Return the write that says how much of a download was seen to have come, and with which speed.

    Parameters
    ----------
    is_over
        Whether no more of it comes, so that what has come is the most.
    """
    come = max(rental.pulled_bytes, min(pulled_bytes, rental.pulling_bytes))
    ended: dict[str, Value] = {"pulling_bytes": come} if is_over else {}
    return make_change(
        "note_pull_seen",
        now,
        requires=(IsOneOf("state", _HELD), Is("holder", rental.holder), Is("version", rental.version)),
        sets={
            "pulled_bytes": come,
            "pulled_at": seen_at,
            "mbit_per_second": max(mbit_per_second, rental.mbit_per_second or 0),
            **ended,
        },
    )


def note_pulled(rental: Rental, model: str, pulled_bytes: int, now: datetime) -> Change:
    """Return the write that says the model is on the machine, and how many bytes its download took."""
    return make_change(
        "note_pulled",
        now,
        # The version keeps one download from being counted twice.
        requires=(IsOneOf("state", _HELD), Is("holder", rental.holder), Is("version", rental.version)),
        sets={
            "pulling_model": model,
            "pulling_bytes": 0,
            "pulled_bytes": 0,
            "pulled_at": None,
            **_model_of_its_job(rental, model),
        },
        adds={"downloaded_bytes": max(pulled_bytes, rental.pulled_bytes)},
    )


def _model_of_its_job(rental: Rental, model: str) -> dict[str, Value]:
    """Return what a download changes of the model that the machine was rented for: a borrower's, nothing."""
    return {} if rental.is_borrowed else {"model": model}


def keep(
    rental: Rental,
    until: datetime,
    now: datetime,
    paid_until: datetime | None = None,
    left_micro_usd: int | None = None,
) -> Change:
    """Return the write that leaves the machine alive without a job, until a moment or its ceiling.

    Parameters
    ----------
    paid_until
        For how long its job's money lasts, to which the ceiling comes down; None where that has no end.
    left_micro_usd
        What is left of the money that the budgets hold for its job: so much may be reserved for the machine.
    """
    ceiling_at = rental.ceiling_at if paid_until is None else min(rental.ceiling_at, paid_until)
    lowered: dict[str, Value] = {} if paid_until is None else {"ceiling_at": ceiling_at}
    lowered["of_job_micro_usd"] = of_job = cost_so_far_micro_usd(rental, now)
    if rental.budget_at is not None:
        may_cost = most_cost_micro_usd(rental, ceiling_at + RELEASE_MARGIN) - of_job
        lowered["booked_micro_usd"] = of_job
        lowered["budget_micro_usd"] = max(0, min(may_cost, left_micro_usd or 0))
    return make_change(
        "keep",
        now,
        requires=(
            Is("state", RentalState.RUNNING),
            Is("holder", rental.holder),
            Is("version", rental.version),
        ),
        sets={
            "state": RentalState.KEPT,
            "kept_until": min(until, ceiling_at),
            **lowered,
            "holder": None,
            "held_since": None,
        },
    )


def take_kept(
    rental: Rental, job_id: str, now: datetime, model_bytes: int = 0, used_micro_usd: int = 0
) -> Change:
    """Return the write that gives a kept machine to a job; of two jobs one wins.

    A download that an earlier job has left counts with all that may have come of it.

    Parameters
    ----------
    model_bytes
        The most that the job's own model takes; 0 where it is there.
    used_micro_usd
        What the job has borrowed has cost it before.
    """
    received_bytes = rental.downloaded_bytes + rental.pulling_bytes
    left: dict[str, Value] = {}
    if rental.pulling_bytes:
        left = {"pulling_model": None, "pulling_bytes": 0, "pulled_bytes": 0, "pulled_at": None}
    return make_change(
        "take_kept",
        now,
        requires=(Is("state", RentalState.KEPT), Is("version", rental.version)),
        sets={
            "state": RentalState.RUNNING,
            "holder": job_id,
            "held_since": now,
            "downloaded_bytes": received_bytes,
            "borrowed_from_bytes": received_bytes,
            "model_bytes": model_bytes,
            "used_before_micro_usd": used_micro_usd,
            **left,
        },
    )


def give_back(rental: Rental, now: datetime, *, unfit_for: str | None = None) -> Change:
    """Return the write by which a job returns a kept machine that it had borrowed.

    Parameters
    ----------
    unfit_for
        The job, if it could not use the machine: then it does not borrow this one again.
    """
    unfit: dict[str, Value] = {} if unfit_for is None else {"unfit_for": unfit_for}
    return make_change(
        "give_back",
        now,
        requires=(
            Is("state", RentalState.RUNNING),
            Is("holder", rental.holder),
            Is("version", rental.version),
        ),
        sets={
            "state": RentalState.KEPT,
            "holder": None,
            "held_since": None,
            **_use_of_borrower(rental, now),
            **unfit,
        },
    )


def _use_of_borrower(rental: Rental, until: datetime) -> dict[str, Value]:
    """Return what a write notes that takes a machine from a job that had borrowed it; nothing of the job's own.

    The job's row has its cost only with its next write, and its worker may be lost before that.
    """
    if rental.holder in (None, rental.job_id):
        return {}
    used = replace(rental, pulled_bytes=come_bytes(rental, until))
    used_micro_usd = rental.used_before_micro_usd + cost_of_holder_micro_usd(used, until)
    return {"used_by": rental.holder, "used_micro_usd": used_micro_usd}


def extend(rental: Rental, until: datetime, now: datetime) -> Change:
    """Return the write that moves a kept machine's end; the caller has compared it with the ceiling."""
    return make_change(
        "extend",
        now,
        requires=(Is("state", RentalState.KEPT), Is("version", rental.version)),
        sets={"kept_until": until},
    )


def ask_release(
    rental: Rental,
    reason: EndReason,
    now: datetime,
    detail: str | None = None,
    contract_id: int | None = None,
) -> Change:
    """Return the write that asks for the release: from then on the machine is destroyed until it is proven gone.

    Parameters
    ----------
    contract_id
        Of a machine that was found by its label; None leaves what is written.
    """
    found: dict[str, Value] = {} if contract_id is None else {"contract_id": contract_id}
    return make_change(
        "ask_release",
        now,
        requires=(IsOneOf("state", _NOT_ENDING), Is("version", rental.version)),
        sets={"state": RentalState.RELEASING, **found, **_ended(reason, detail)},
        sets_once={"release_asked_at": now},
    )


def note_destroyed(rental: Rental, now: datetime, *, is_taken: bool) -> Change:
    """Return the write that says the provider has answered the order to destroy the machine.

    Parameters
    ----------
    is_taken
        Whether the provider knew the machine and took the order.
    """
    taken: dict[str, Value] = {"destroyed_at": now} if is_taken else {}
    return make_change(
        "note_destroyed",
        now,
        requires=(Is("state", RentalState.RELEASING), Is("version", rental.version)),
        sets={"destroy_asked_at": now, **taken},
    )


def note_absent(rental: Rental, absent_at: datetime | None, now: datetime) -> Change:
    """Return the write that says since when no look has shown a machine that is being destroyed."""
    return make_change(
        "note_absent",
        now,
        requires=(Is("state", RentalState.RELEASING), Is("version", rental.version)),
        sets={"absent_at": absent_at},
    )


def reopen(rental: Rental, contract_id: int, now: datetime) -> Change:
    """Return the write for a machine whose rental was recorded as gone or never made."""
    return make_change(
        "reopen",
        now,
        requires=(Is("state", RentalState.RELEASED), Is("version", rental.version)),
        sets={
            "state": RentalState.RELEASING,
            "contract_id": contract_id,
            "due_at": now,
            "released_at": None,
            "destroy_asked_at": None,
            "destroyed_at": None,
            "absent_at": None,
            "expires_at": None,
            "cost_micro_usd": None,
            "charge_reading_count": 0,
            # Its job's end books what was known when it was proven gone first.
            **({"of_job_micro_usd": rental.cost_micro_usd} if rental.of_job_micro_usd is None else {}),
            "booked_micro_usd": rental.cost_micro_usd,
            **_ended(EndReason.ORPHANED, None),
        },
    )


def prove_release(
    rental: Rental,
    gone_at: datetime,
    now: datetime,
    reason: EndReason | None = None,
    detail: str | None = None,
) -> Change:
    """Return the write that ends a rental, once a complete listing does not show it.

    Parameters
    ----------
    gone_at
        When that listing began.
    now
        When it had come: the machine may have been there until it was answered, so the bill is made up to here, or
        up to `absent_at`.
    reason
        For a rental of which no release was asked.
    """
    ended_at = rental.absent_at or max(gone_at, now)
    cost = cost_micro_usd(rental, ended_at)
    sets: dict[str, Value] = {
        **_use_of_borrower(rental, ended_at),
        "state": RentalState.RELEASED,
        "released_at": gone_at,
        "cost_micro_usd": cost,
        # An order for which no machine was made is charged nothing.
        "due_at": None if rental.contract_id is None else now + CHARGES_READ_EVERY,
        "holder": None,
        "expires_at": (now + REMEMBERED).replace(microsecond=0),
    }
    if rental.booked_micro_usd is not None:
        sets |= {"booked_micro_usd": cost, "budget_micro_usd": 0}
    if reason is not None:
        sets.update(_ended(reason, detail))
    return make_change(
        "prove_release",
        now,
        requires=(
            IsOneOf("state", (*_NOT_ENDING, RentalState.RELEASING)),
            # Nothing else was learned meanwhile, such as the contract that a lost create made.
            Is("version", rental.version),
        ),
        sets=sets,
    )


def note_charge(
    rental: Rental, charge: Charge | None, problem: str | None, now: datetime, *, is_final: bool
) -> Change:
    """Return the write that says what the provider charged for a machine that is gone.

    Parameters
    ----------
    charge, problem
        One is None, or both are: what is written of the other remains unknown.
    is_final
        Whether charges are not read again for it.
    """
    over_micro_usd = 0 if charge is None else max(0, charge.micro_usd - (rental.cost_micro_usd or 0))
    return make_change(
        "note_charge",
        now,
        requires=(Is("state", RentalState.RELEASED), Is("version", rental.version)),
        sets={
            "billed": charge,
            "charge_problem": problem,
            "over_micro_usd": over_micro_usd,
            "charge_reading_count": rental.charge_reading_count + 1,
            "due_at": None if is_final else now + CHARGES_READ_EVERY,
        },
    )


def put_off_charge(rental: Rental, now: datetime) -> Change:
    """Return the write that lets charges be read a day later, since the rental's job has no receipt yet."""
    return make_change(
        "put_off_charge",
        now,
        requires=(Is("state", RentalState.RELEASED), Is("version", rental.version)),
        sets={"due_at": now + CHARGES_READ_EVERY},
    )


def _ended(reason: EndReason, detail: str | None) -> dict[str, Value]:
    return {"end_reason": reason, "end_detail": None if detail is None else detail[:LONGEST_DETAIL]}


def reservation_change_micro_usd(rental: Rental, change: Change) -> int:
    """Return by how much a write of the rental changes what is reserved: the living have a reservation."""
    return rental.reserved_micro_usd * (apply(change, rental).is_alive - rental.is_alive)
