import pytest

from rune.errors import (
    AddressUnresolvedError,
    DiskFullError,
    NoCreditError,
    OfferGoneError,
    OutOfMemoryError,
    ProviderBusyError,
    ProviderFailedError,
    ProviderKeyError,
    ProviderRefusedError,
    PullStalledError,
    RegistryFailedError,
    RuneError,
    ServerTimeoutError,
    StreamFailedError,
)
from rune.rentals.blame import Blame, Phase, find_blame, find_boot_blame, has_failed_so, is_same_again
from rune.rentals.record import EndReason
from tests.rental_builders import a_released_rental


@pytest.mark.parametrize(
    ("error", "phase", "blame"),
    [
        (OfferGoneError("Taken."), Phase.ORDER, Blame.OFFER),
        (ProviderRefusedError("No."), Phase.ORDER, Blame.OFFER),
        (ProviderBusyError("Wait."), Phase.ORDER, Blame.PROVIDER),
        (ProviderFailedError("500."), Phase.ORDER, Blame.PROVIDER),
        (NoCreditError("Poor."), Phase.ORDER, Blame.REQUEST),
        (ProviderKeyError("Who?"), Phase.ORDER, Blame.REQUEST),
        (AddressUnresolvedError("?"), Phase.PULL, Blame.MACHINE),
        (PullStalledError("Still."), Phase.PULL, Blame.MACHINE),
        (ServerTimeoutError("Silent."), Phase.PULL, Blame.MACHINE),
        (ServerTimeoutError("Silent."), Phase.LOAD, Blame.REQUEST),
        (RegistryFailedError("503."), Phase.PULL, Blame.REQUEST),
        (DiskFullError("Full."), Phase.PULL, Blame.REQUEST),
    ],
    ids=repr,
)
def test_blame_is_found_for_each_failure(error: RuneError, phase: Phase, blame: Blame) -> None:
    assert find_blame(error, phase) is blame


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (DiskFullError("Full."), Blame.MACHINE),
        (OutOfMemoryError("Full."), Blame.MACHINE),
        (RegistryFailedError("503."), Blame.REQUEST),
    ],
    ids=repr,
)
def test_blame_is_the_machine_s_where_it_alone_lacks_the_room(error: RuneError, blame: Blame) -> None:
    assert find_blame(error, Phase.PULL, is_only_here=True) is blame


@pytest.mark.parametrize(
    ("status_text", "blame"),
    [
        ("Error response from daemon: manifest for a/b:c not found: manifest unknown", Blame.REQUEST),
        ("pull access denied for a/b, repository does not exist", Blame.REQUEST),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", Blame.REQUEST),
        ('OCI runtime create failed: exec: "x": executable file not found in $PATH', Blame.REQUEST),
        ("OCI runtime create failed: unsatisfied condition: cuda>=12.0", Blame.MACHINE),
        ("write /var/lib/docker: no space left on device", Blame.MACHINE),
        ("failed to resolve reference: dial tcp: i/o timeout", Blame.MACHINE),
        ("toomanyrequests: You have reached your pull rate limit", Blame.MACHINE),
        ("", Blame.MACHINE),
    ],
)
def test_boot_blame_is_read_from_what_docker_says(status_text: str, blame: Blame) -> None:
    assert find_boot_blame(status_text) is blame


def test_boot_blame_is_the_image_s_when_the_caller_s_container_ran_and_ended() -> None:
    assert find_boot_blame("", has_run_own_image=True) is Blame.REQUEST


def test_words_are_compared_as_far_as_a_row_keeps_them() -> None:
    long = "x" * 500
    before = a_released_rental(end_reason=EndReason.MODEL_FAILED, end_detail=long[:200])

    assert is_same_again(StreamFailedError(long), EndReason.MODEL_FAILED, [before])
    assert not is_same_again(PullStalledError(long), EndReason.MODEL_FAILED, [before])
    assert not has_failed_so(EndReason.BOOT_FAILED, long, [before])
