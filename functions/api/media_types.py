"""The form of a document that a caller prefers: `Accept` (RFC 9110, 12.5.1)."""

import re
from collections.abc import Iterator

_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def prefers(accept: str | None, wanted: str, *, over: str) -> bool:
    """Return whether a caller prefers one media type over another, the default.

    A header that accepts neither, or cannot be read, is not refused, as RFC 9110 allows: it gets the default.
    """
    return preferred(accept, over, wanted) == wanted


def preferred(accept: str | None, *offered: str) -> str:
    """Return the media type that a caller prefers: of those that are as welcome, the one that is offered first.

    A header that accepts none, or cannot be read, is not refused either: it gets the first.
    """
    ranges = tuple(_ranges(accept or "*/*"))
    return max(offered, key=lambda media_type: _quality(media_type, ranges))


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Yield each readable range with its quality; other parameters are ignored, since no type here has any."""
    for element in accept.lower().split(","):
        media_range, *parameters = (part.strip() for part in element.split(";"))
        given = [
            part.partition("=")[2].strip() for part in parameters if part.partition("=")[0].strip() == "q"
        ]
        if not given:
            yield media_range, 1.0
        elif _QUALITY.fullmatch(given[0]):
            yield media_range, float(given[0])


def _quality(media_type: str, ranges: tuple[tuple[str, float], ...]) -> float:
    """Return the quality that the most specific range gives a type; 0 where no range matches."""
    kind = media_type.partition("/")[0]
    for media_range in (media_type, f"{kind}/*", "*/*"):
        found = [quality for each, quality in ranges if each == media_range]
        if found:
            return max(found)
    return 0.0
