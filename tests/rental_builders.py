"""Builders of rentals in each state, and of their machines."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from rune.rentals.instance import Instance, Listing
from rune.rentals.labels import make_label
from rune.rentals.record import (
    EndReason,
    Machine,
    Prices,
    Rental,
    RentalState,
    make_rental_id,
)
from tests.builders import JOB_ID, NOW, TENANT, after

STAGE = "local"
DEPLOYMENT_ID = "0f1e2d3c4b"
RENTAL_ID = f"{JOB_ID}-1"
CONTRACT_ID = 28_104_977
ACCOUNT_ID = 123_456
URL = "http://203.0.113.7:40123"
MODEL = "llama3.1:8b"
OTHER_JOB_ID = "0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d"

_INTENDED = Rental(
    rental_id=RENTAL_ID,
    label=make_label(STAGE, DEPLOYMENT_ID, JOB_ID, 1),
    tenant=TENANT,
    job_id=JOB_ID,
    attempt=1,
    state=RentalState.INTENDED,
    version=1,
    intended_at=NOW,
    updated_at=NOW,
    machine=Machine(
        offer_id=19_344_820,
        machine_id=15_401,
        gpu_name="RTX 4090",
        gpu_count=1,
        vram_mb=24_564,
        disk_gb=40,
        reliability_percent=99,
        place="Sweden, SE",
    ),
    prices=Prices(
        gpu_micro_usd_per_hour=360_000,
        disk_micro_usd_per_hour=12_000,
        download_micro_usd_per_gb=3_000,
    ),
    ceiling_at=NOW + timedelta(hours=5),
    due_at=NOW,
    account_id=ACCOUNT_ID,
    holder=JOB_ID,
    held_since=NOW,
)


def a_rental(**overrides: object) -> Rental:
    """Return a rental that was opened at `NOW`, before its order."""
    return replace(_INTENDED, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def a_rental_of(job_id: str, attempt: int = 1, **overrides: object) -> Rental:
    """Return a rental of another job or attempt, with its ids and label."""
    return a_rental(**{**_names(job_id, attempt), "holder": job_id, **overrides})


def a_created_rental(**overrides: object) -> Rental:
    """Return a rental whose machine is booting."""
    created = {
        "state": RentalState.CREATED,
        "version": 2,
        "updated_at": after(3),
        "contract_id": CONTRACT_ID,
    }
    return a_rental(**{**created, **overrides})


def a_running_rental(**overrides: object) -> Rental:
    """Return a rental in use by its job."""
    running = {
        "state": RentalState.RUNNING,
        "version": 5,
        "updated_at": after(120),
        "last_seen_stopped_at": after(60),
        "running_at": after(90),
        "url": URL,
        "model": MODEL,
        "downloaded_bytes": 4_900_000_000,
    }
    return a_created_rental(**{**running, **overrides})


def a_kept_rental(**overrides: object) -> Rental:
    """Return a rental that is kept until an hour after `NOW`."""
    kept = {
        "state": RentalState.KEPT,
        "version": 6,
        "updated_at": after(300),
        "holder": None,
        "held_since": None,
        "kept_until": NOW + timedelta(hours=1),
    }
    return a_running_rental(**{**kept, **overrides})


def a_kept_rental_of(job_id: str, attempt: int = 1, **overrides: object) -> Rental:
    """Return a kept rental of another job."""
    return a_kept_rental(**{**_names(job_id, attempt), **overrides})


def a_releasing_rental(**overrides: object) -> Rental:
    """Return a rental whose job has ended and whose machine is being destroyed."""
    releasing = {
        "state": RentalState.RELEASING,
        "version": 6,
        "updated_at": after(300),
        "end_reason": EndReason.JOB_ENDED,
        "release_asked_at": after(300),
    }
    return a_running_rental(**{**releasing, **overrides})


def a_released_rental(**overrides: object) -> Rental:
    """Return a rental that is proven gone and billed."""
    released = {
        "state": RentalState.RELEASED,
        "version": 7,
        "updated_at": after(360),
        "holder": None,
        "released_at": after(355),
        "cost_micro_usd": 51_400,
        "due_at": None,
        "expires_at": after(360) + timedelta(days=30),
    }
    return a_releasing_rental(**{**released, **overrides})


def a_label(job_id: str = JOB_ID, attempt: int = 1) -> str:
    """Return the label of a job's attempt in the builders' deployment."""
    return make_label(STAGE, DEPLOYMENT_ID, job_id, attempt)


def an_old_label(job_id: str = JOB_ID, attempt: int = 1, stage: str = STAGE) -> str:
    """Return a label of the form that had no id of the deployment."""
    return f"rune-{stage}-{job_id}-{attempt}"


def _names(job_id: str, attempt: int) -> dict[str, object]:
    return {
        "rental_id": make_rental_id(job_id, attempt),
        "label": make_label(STAGE, DEPLOYMENT_ID, job_id, attempt),
        "job_id": job_id,
        "attempt": attempt,
    }


ALIVE = {
    RentalState.INTENDED: a_rental,
    RentalState.CREATED: a_created_rental,
    RentalState.RUNNING: a_running_rental,
    RentalState.KEPT: a_kept_rental,
    RentalState.RELEASING: a_releasing_rental,
}
"""Builders of rentals that may bill, by state."""


def an_instance(**overrides: object) -> Instance:
    """Return the running machine of the builders' rental, as a listing shows it."""
    running = Instance(
        contract_id=CONTRACT_ID,
        label=make_label(STAGE, DEPLOYMENT_ID, JOB_ID, 1),
        machine_id=15_401,
        actual_status="running",
        intended_status="running",
        cur_state="running",
        next_state="running",
        status_text="success, running ollama/ollama_latest/ssh",
        address="203.0.113.7",
        host_ports={"11434/tcp": 40123},
    )
    return replace(running, **overrides)  # type: ignore[arg-type]  # replace() refuses unknown names


def a_listing(*instances: Instance, begun_at: datetime = NOW, account_id: int | None = ACCOUNT_ID) -> Listing:
    """Return a complete listing of the account that pays for the builders' rental."""
    return Listing(begun_at, instances, "key", account_id)


def a_confirmed_listing(
    *instances: Instance, begun_at: datetime = NOW, account_id: int | None = ACCOUNT_ID
) -> Listing:
    """Return a complete listing; where it lacks the builders' machine, a read of that does not show it either."""
    listing = a_listing(*instances, begun_at=begun_at, account_id=account_id)
    is_listed = any(each.contract_id == CONTRACT_ID for each in instances)
    return listing if is_listed else replace(listing, unshown=frozenset({CONTRACT_ID}))
