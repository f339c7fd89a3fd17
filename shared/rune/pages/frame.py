"""What all pages have: head, sections, facts, footer."""

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element  # made here, nothing is parsed

from rune.pages.markup import Child, element, shortened
from rune.pages.style import STYLE

_MAX_TITLE_CHARS = 120


def make_page(title: str, *body: Element, footer: Sequence[Child]) -> Element:
    """Return a whole document."""
    style = element("style")
    # As it is, since browsers compare its hash.
    style.text = STYLE
    return element(
        "html",
        {"lang": "en"},
        element(
            "head",
            None,
            element("meta", {"charset": "utf-8"}),
            element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
            element("meta", {"name": "robots", "content": "noindex, nofollow"}),
            element("meta", {"name": "referrer", "content": "no-referrer"}),
            element("title", None, shortened(title, _MAX_TITLE_CHARS)),
            style,
        ),
        element("body", None, element("main", None, *body), element("footer", None, *footer)),
    )


def section(title: str, *content: Child) -> Element:
    """Return a part of a page under its title."""
    return element("section", None, element("h2", None, title), *content)


def table_of(heads: Iterable[tuple[str, str | None]], rows: Iterable[Element]) -> Element:
    """Return a wide table; a head has a title and, in small, what is more to be said of the column."""
    head = (
        element("th", {"scope": "col"}, title, None if more is None else element("small", None, more))
        for title, more in heads
    )
    return element(
        "table",
        {"class": "wide"},
        element("thead", None, element("tr", None, *head)),
        element("tbody", None, *rows),
    )


def scrolled(table: Element, label: str) -> Element:
    """Return a table that scrolls by itself where it is wider than the page."""
    return element("div", {"class": "scroll", "tabindex": 0, "role": "region", "aria-label": label}, table)


def figures(drawn: Sequence[Element]) -> Element:
    """Return pictures side by side where there is room."""
    return element("div", {"class": "figures"}, *drawn)


def facts(*named: tuple[str, Sequence[Child]]) -> Element:
    """Return what is to be known, each under its name."""
    return element(
        "dl",
        {"class": "facts"},
        *(
            element("div", None, element("dt", None, title), element("dd", None, *_spaced(content)))
            for title, content in named
        ),
    )


def _spaced(content: Sequence[Child]) -> list[Child]:
    spaced: list[Child] = []
    for child in content:
        spaced += [child, " "]
    return spaced[:-1]
