"""Numbers as texts with their units; what is not known is said so, and is never 0."""

import math
from xml.etree.ElementTree import Element  # made here, nothing is parsed

from rune.bench.showing import number
from rune.contracts import Distribution
from rune.pages.markup import Child, element

NOT_MEASURED = "not measured"

_MS_PER_S = 1000
_SECONDS_FROM_MS = 10_000
_MINUTE_S = 60


def amount(value: float | None, unit: str) -> str:
    """Return a number with its unit."""
    return NOT_MEASURED if value is None else f"{number(value)} {unit}"


def milliseconds(value: float | None) -> str:
    """Return a time with its unit, in seconds from ten on."""
    if value is not None and value >= _SECONDS_FROM_MS:
        return f"{number(value / _MS_PER_S)} s"
    return amount(value, "ms")


def seconds(value: float) -> str:
    """Return a time that people wait, to the second from a minute on."""
    if value < _MINUTE_S:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), _MINUTE_S)
    return f"{minutes} min {rest} s"


def usd(value: float | None) -> str:
    """Return a price with three significant digits, or to the cent where that is more."""
    if value is None:
        return NOT_MEASURED
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${_plain(value)}"


def ratio(value: float | None) -> str:
    """Return a share in percent; all and none are said only where they are exact."""
    if value is None:
        return NOT_MEASURED
    text = f"{value:.1%}"
    if value < 1 and text == "100.0%":
        return "> 99.9%"
    return "< 0.1%" if value > 0 and text == "0.0%" else text


def known(text: str) -> Child:
    """Return a text, less loud where it says that there is no number."""
    return element("span", {"class": "none"}, text) if text == NOT_MEASURED else text


def cell(values: Distribution | None, *marks: Element) -> Element:
    """Return the median with the 95th percentile, or the highest value where there are too few for one."""
    if values is None:
        return element("td", None, element("span", {"class": "none"}, NOT_MEASURED), *marks)
    high = f"p95 {milliseconds(values.p95)}" if values.p95 is not None else f"max {milliseconds(values.max)}"
    return element("td", None, milliseconds(values.median), element("small", {"class": "none"}, high), *marks)


def _plain(value: float) -> str:
    """Return three significant digits without an exponent."""
    decimals = 2 - math.floor(math.log10(value))
    return f"{value:.{decimals}f}"
