"""Objects in JSON that callers send. Of a name that stands twice, each parser takes the value it likes."""

from collections import Counter
from collections.abc import Sequence

_LONGEST_SHOWN = 60


class RepeatedMemberError(ValueError):
    """A name stands twice in one object."""

    def __init__(self, name: str) -> None:
        self.name = name[:_LONGEST_SHOWN]
        super().__init__(f"A name stands twice in one object: {self.name!r}.")


def once_each(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return an object's members; for `json.loads(…, object_pairs_hook=once_each)`.

    Raises
    ------
    RepeatedMemberError
        A name stands twice.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise RepeatedMemberError(next(name for name, count in counts.items() if count > 1))
    return members
