import pytest

from rune.errors import ProviderFailedError
from rune.rentals.record import Rental
from rune.rentals.self_destruct import STARTED
from tests.builders import after
from tests.rental_builders import CONTRACT_ID, a_kept_rental, a_released_rental, an_instance
from tests.unit.services.test_orphan_sweep import Tick, a_tick

LOG = f"{STARTED}\nListening on [::]:11434\n"


def a_new_rental(**overrides: object) -> Rental:
    """Return a kept rental with a script, which began to run ten minutes before the tick."""
    fresh = {"has_self_destruct": True, "running_at": after(2400), "kept_until": after(9999)}
    return a_kept_rental(**{**fresh, **overrides})


def look(rental: Rental, log_text: str = LOG) -> Tick:
    tick = a_tick(rental, instances=(an_instance(),))
    tick.market.log_text = log_text
    tick.sweep()
    return tick


def test_machine_whose_script_was_seen_to_start_is_said_to_destroy_itself() -> None:
    tick = look(a_new_rental())

    assert tick.market.called("read_log") == [CONTRACT_ID]
    assert (tick.rental().self_destruct_seen_at, tick.rental().destroys_itself) == (after(3000), True)


def test_machine_is_not_looked_at_again_once_its_script_was_seen() -> None:
    tick = look(a_new_rental())
    tick.clock.advance(60)
    tick.sweep()

    assert tick.market.called("read_log") == [CONTRACT_ID]


@pytest.mark.parametrize("log_text", ["", "Listening on [::]:11434", "sh: openssl: not found"])
def test_machine_whose_log_shows_no_start_stays_unknown(log_text: str) -> None:
    assert look(a_new_rental(), log_text).rental() == a_new_rental()


@pytest.mark.parametrize(
    "rental",
    [
        a_new_rental(has_self_destruct=False),
        a_new_rental(running_at=after(3000 - 901)),
        a_released_rental(has_self_destruct=True, running_at=after(2400)),
    ],
    ids=["no script", "long ago", "gone"],
)
def test_log_is_not_read_where_it_can_show_nothing(rental: Rental) -> None:
    assert look(rental).market.called("read_log") == []


def test_sweep_goes_on_when_a_log_cannot_be_read() -> None:
    tick = a_tick(a_new_rental(), instances=(an_instance(),))
    tick.market.errors["read_log"] = [ProviderFailedError("No log.")]

    assert tick.sweep().is_complete
    assert tick.rental() == a_new_rental()
