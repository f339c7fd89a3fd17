"""A page as a tree of elements, written out by the standard library.

Nothing in this room joins pieces of markup: texts and attributes are handed over as they are, and the one writer
escapes them. So no name of a model or a server can become a part of the page's structure.
"""

from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element, tostring  # written here, nothing is parsed

from rune.bench.showing import printable

type Child = Element | str | None
type Children = Iterable[Child]

MAX_NAME_CHARS = 200
"""Of a name that a caller or a server chose."""
MAX_CODE_CHARS = 60
"""Of a stable name of RUNE's own, which a later version may have added."""


def element(tag: str, attributes: Mapping[str, object] | None = None, *children: Child) -> Element:
    """Return an element with its children in order; None is no child.

    Parameters
    ----------
    attributes
        None leaves an attribute out. Numbers are written with at most two decimals.
    """
    made = Element(
        tag, {name: _written(value) for name, value in (attributes or {}).items() if value is not None}
    )
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif child is not None and last is None:
            made.text = (made.text or "") + printable(child)
        elif child is not None and last is not None:
            last.tail = (last.tail or "") + printable(child)
    return made


def name(text: str, most_chars: int = MAX_NAME_CHARS) -> Element:
    """Return a name that somebody else chose, whose writing direction changes nothing beside it."""
    return element("bdi", None, shortened(text, most_chars))


def shortened(text: str, most_chars: int) -> str:
    """Return a text on one line, of at most so many characters."""
    whole = printable(text).strip()
    return whole if len(whole) <= most_chars else f"{whole[: most_chars - 1]}…"


def write_page(html: Element) -> str:
    """Return the document as HTML."""
    return f"<!doctype html>\n{tostring(html, encoding='unicode', method='html')}\n"


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return printable(str(value))
