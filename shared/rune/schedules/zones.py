"""Time zones by name, from the data that is deployed with RUNE: a machine's own may be older, or absent."""

from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from rune.errors import InvalidRequestError

_DATA = "tzdata"


def find_zone(name: str) -> ZoneInfo:
    """Return the zone; raises InvalidRequestError for a name that the IANA database does not have."""
    if name not in _known_names():
        raise InvalidRequestError(
            "timezone must be a name of the IANA database, such as Europe/Berlin or UTC.",
            pointer="/timezone",
            code="timezone_unknown",
        )
    return _read_zone(name)


@cache
def _known_names() -> frozenset[str]:
    return frozenset(files(_DATA).joinpath("zones").read_text().split())


@lru_cache(maxsize=64)
def _read_zone(name: str) -> ZoneInfo:
    with files(_DATA).joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)
