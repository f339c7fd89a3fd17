"""Where published events go."""

from collections.abc import Sequence
from typing import Protocol

from rune.events.record import PublicEvent


class Sink(Protocol):
    """One way out. What it takes twice must do no harm: a publisher that dies begins again."""

    @property
    def name(self) -> str:
        """Stands for the sink in the row that says how far it has got; it must not change."""
        ...

    def publish(self, events: Sequence[PublicEvent]) -> None:
        """Take events of one subject, in their order, all of them.

        Raises
        ------
        StoreUnavailableError
            It could not take all of them now. The publisher gives them to it again later, beside no other sink's.
        """
        ...
