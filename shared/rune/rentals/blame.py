"""Who is to blame for a failure on the way to a rented machine with a model on it. One table, plain data.

It decides what is paid for next. Another machine is rented only for what another machine can mend; what it cannot
mend ends the job with the first, in the words of the server or the provider.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from rune.errors import (
    AddressError,
    ContextOverflowError,
    DiskFullError,
    ModelNotFoundError,
    ModelUnsupportedError,
    OfferGoneError,
    OutOfMemoryError,
    ProviderBusyError,
    ProviderFailedError,
    ProviderRefusedError,
    RegistryFailedError,
    RentalError,
    RequestRejectedError,
    RuneError,
    ServerAccessError,
    ServerFailedError,
    ServerTimeoutError,
    StreamFailedError,
)
from rune.rentals.lifecycle import LONGEST_DETAIL
from rune.rentals.record import EndReason, Rental


class Blame(StrEnum):
    """What a failure is due to, and so what follows."""

    MACHINE = "machine"
    """Give it back, exclude it, and rent another one."""
    OFFER = "offer"
    """Nothing was made: order the next one."""
    REQUEST = "request"
    """The image, the model, the request or the account: no other machine mends it. The job fails at once."""
    PROVIDER = "provider"
    """Nothing was made: wait, and order then."""


class Phase(StrEnum):
    """Where a failure came."""

    ORDER = "order"
    PULL = "pull"
    LOAD = "load"


_ALWAYS: Mapping[type[RuneError], Blame] = {
    # An order.
    OfferGoneError: Blame.OFFER,
    ProviderRefusedError: Blame.OFFER,
    ProviderBusyError: Blame.PROVIDER,
    ProviderFailedError: Blame.PROVIDER,
    RentalError: Blame.REQUEST,
    # A model server. What is not named here is the machine's.
    ModelNotFoundError: Blame.REQUEST,
    ModelUnsupportedError: Blame.REQUEST,
    RegistryFailedError: Blame.REQUEST,
    RequestRejectedError: Blame.REQUEST,
    ServerAccessError: Blame.REQUEST,
    ContextOverflowError: Blame.REQUEST,
    # Every other machine is rented with the same memory and disk.
    OutOfMemoryError: Blame.REQUEST,
    DiskFullError: Blame.REQUEST,
    AddressError: Blame.MACHINE,
    RuneError: Blame.MACHINE,
}

_IN_PHASE: Mapping[tuple[Phase, type[RuneError]], Blame] = {
    # The request says how long loading may take.
    (Phase.LOAD, ServerTimeoutError): Blame.REQUEST,
}

_OF_THIS_MACHINE_ALONE = (OutOfMemoryError, DiskFullError)
"""Other jobs have filled a machine that was kept; the host's disk is smaller than the one that was rented."""

_IN_SERVERS_WORDS = (StreamFailedError, ServerFailedError, ProviderRefusedError)
"""Their sentence quotes a cause that RUNE does not recognise."""

_IMAGE_IS_WRONG = re.compile(
    r"manifest unknown|manifest for .{1,300} not found|pull access denied|repository does not exist|unauthorized: "
    r"|invalid reference format|no matching manifest|executable file not found",
    re.IGNORECASE,
)
"""What docker says of an image that no host can start
(https://github.com/distribution/distribution/blob/main/registry/api/errcode, https://github.com/moby/moby).
A full disk, a network or a runtime that fails is the host's."""


_MAY_BE_THE_IMAGE = re.compile(r"^exited: |oci runtime create failed", re.IGNORECASE)
"""What a host says of a container that ended, or that its runtime could not make."""


def find_blame(error: RuneError, phase: Phase, *, is_only_here: bool = False) -> Blame:
    """Return who is to blame for an error.

    Parameters
    ----------
    is_only_here
        Whether this machine lacks memory or disk that another one would have.
    """
    if is_only_here and isinstance(error, _OF_THIS_MACHINE_ALONE):
        return Blame.MACHINE
    for kind in type(error).__mro__:
        blame = _IN_PHASE.get((phase, kind)) or _ALWAYS.get(kind)
        if blame is not None:
            return blame
    return Blame.MACHINE


def find_boot_blame(status_text: str, *, has_run_own_image: bool = False) -> Blame:
    """Return who is to blame for a machine that does not boot, by the provider's text.

    Parameters
    ----------
    has_run_own_image
        Whether its container ran, from an image that the caller chose, and has ended.
    """
    is_image = has_run_own_image or _IMAGE_IS_WRONG.search(status_text) is not None
    return Blame.REQUEST if is_image else Blame.MACHINE


def may_be_the_image(detail: str) -> bool:
    """Return whether a boot failed for what two hosts say in the same words only if their image is at fault."""
    return _MAY_BE_THE_IMAGE.search(detail) is not None


def is_same_again(error: RuneError, reason: EndReason, attempts: Iterable[Rental]) -> bool:
    """Return whether another machine or offer failed with the same words: then a third would, too."""
    return isinstance(error, _IN_SERVERS_WORDS) and has_failed_so(reason, error.sentence, attempts)


def quotes_server(detail: str) -> bool:
    """Return whether a failure's sentence quotes a server, as `rune.llm.failures` writes it."""
    return " It said: " in detail


def has_failed_so(reason: EndReason, detail: str, attempts: Iterable[Rental]) -> bool:
    """Return whether an earlier attempt of the job ended for the same reason, in the same words."""
    told = (reason, detail[:LONGEST_DETAIL])
    return any((rental.end_reason, rental.end_detail) == told for rental in attempts)
