"""Reading samples of a page in Prometheus' text format, of which nothing can be relied on.

https://prometheus.io/docs/instrumenting/exposition_formats/. Why not by `prometheus_client`: see
docs/decisions/2026-11-30-server-metrics.md.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

MAX_LINE_BYTES = 4096
"""Longer lines are left out: a sample of a server has a few hundred."""

MAX_VALUE = 2.0**53
"""Above which a number of a counter is no whole number any more."""

_SAMPLE = re.compile(rb"([A-Za-z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t\r]*")
_LABEL = re.compile(rb'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a page.

    Attributes
    ----------
    value
        None where it is no number from 0 to 2**53, as of NaN.
    """

    name: str
    labels: Mapping[str, str]
    value: float | None


class SampleLines:
    """Picks the lines of wanted samples out of a page as it arrives, so that no piece takes long.

    Parameters
    ----------
    names
        Of the samples, in ASCII.
    """

    def __init__(self, names: Collection[str]) -> None:
        # A name ends with its labels or its value, so that the beginning of another name is not taken for it.
        self._heads = tuple(f"{name}{end}".encode() for name in names for end in "{ \t")
        self._rest = b""
        self.lines: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        *lines, rest = (self._rest + data).split(b"\n")
        # Of a line that is too long only as much is kept as shows that.
        self._rest = rest[: MAX_LINE_BYTES + 1]
        self._take(lines)

    def finish(self) -> list[bytes]:
        """Return the lines, with the last one, which need not be ended."""
        self._take([self._rest])
        self._rest = b""
        return self.lines

    def _take(self, lines: Iterable[bytes]) -> None:
        heads = self._heads
        self.lines += [line for line in lines if line.startswith(heads) and len(line) <= MAX_LINE_BYTES]


def read_samples(lines: Iterable[bytes]) -> list[Sample]:
    """Return the samples in these lines; a line that is none is left out.

    Of lines with the same name and labels the last counts.
    """
    samples: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
    for line in lines:
        found = _SAMPLE.fullmatch(line)
        if found is None:
            continue
        name, labels = found[1].decode(), _labels(found[2] or b"")
        samples[name, frozenset(labels.items())] = Sample(name, labels, _number(found[3]))
    return list(samples.values())


def _labels(text: bytes) -> dict[str, str]:
    pairs = ((name.decode(), value.decode("utf-8", "replace")) for name, value in _LABEL.findall(text))
    return {
        name: _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], value)
        for name, value in pairs
    }


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    # False for NaN, too.
    return value if 0 <= value <= MAX_VALUE else None
