"""Calls on rented machines, and the stop of everything."""

from __future__ import annotations

from typing import Any

from rune_client.answers import read_document
from rune_client.calls.call import Call, segment
from rune_client.documents import RentalKey, RentalRecord, StopReport


def list_rentals(
    cursor: str | None, *, state: str | None = None, job_id: str | None = None, page_size: int | None = None
) -> Call[Any]:
    """Return a page of rented machines: those that are not proven gone, or by `state` or `job_id`."""
    return Call(
        method="GET",
        path="/v1/rentals",
        reads=read_document,
        query={"state": state, "job_id": job_id, "limit": page_size, "cursor": cursor},
        is_repeatable=True,
    )


def rental(rental_id: str) -> Call[RentalRecord]:
    """Return one rented machine; an ended one for 30 days."""
    return Call(
        method="GET",
        path=f"/v1/rentals/{segment(rental_id, 'The id of the rental')}",
        reads=read_document,
        is_repeatable=True,
    )


def extend_rental(rental_id: str, keep_seconds: int) -> Call[RentalRecord]:
    """Keep a machine for so many seconds from now. It costs money for as long."""
    return Call(
        method="POST",
        path=f"/v1/rentals/{segment(rental_id, 'The id of the rental')}/extend",
        reads=read_document,
        body={"keep_seconds": keep_seconds},
    )


def stop_rental(rental_id: str) -> Call[RentalRecord]:
    """Give a kept machine back.

    It is sent again where no answer comes. If the first request did arrive, the second may be refused with
    `rental_ending`.

    Raises
    ------
    ConflictError
        A job uses it, or it is being given back.
    """
    return Call(
        method="DELETE",
        path=f"/v1/rentals/{segment(rental_id, 'The id of the rental')}",
        reads=read_document,
        is_repeatable=True,
    )


def rental_key(rental_id: str) -> Call[RentalKey]:
    """Return the key that the machine's server asks for. It is a secret."""
    return Call(
        method="POST",
        path=f"/v1/rentals/{segment(rental_id, 'The id of the rental')}/key",
        reads=read_document,
    )


def stop_state() -> Call[StopReport]:
    """Return whether everything of the tenant is stopped, and what is left."""
    return Call(method="GET", path="/v1/stop", reads=read_document, is_repeatable=True)


def stop_all() -> Call[StopReport]:
    """Accept no more jobs of the tenant, cancel all, and destroy all machines, kept ones too.

    It is sent again where no answer comes: the second time asks the same.
    """
    return Call(method="POST", path="/v1/stop", reads=read_document, is_repeatable=True)


def resume_all() -> Call[StopReport]:
    """Accept jobs of the tenant again. What was cancelled stays so."""
    return Call(method="DELETE", path="/v1/stop", reads=read_document, is_repeatable=True)
