"""Reads a page as a browser would, by the standard library's parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import override

VOID = {"meta", "br"}


@dataclass
class Node:
    """An element with its attributes and the text directly in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class ReadPage(HTMLParser):
    """A page that was read; `unclosed` is what the end tags do not match."""

    nodes: list[Node] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Node] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.nodes.append(node)
        if tag not in VOID:
            self._open.append(node)

    @override
    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop().tag != tag:
            self.unclosed.append(tag)

    @override
    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    @override
    def close(self) -> None:
        super().close()
        self.unclosed += [node.tag for node in self._open]

    @property
    def structure(self) -> list[tuple[str, tuple[str, ...]]]:
        """The tags in order, with the names of their attributes."""
        return [(node.tag, tuple(node.attributes)) for node in self.nodes]

    @property
    def text(self) -> str:
        """All that is to be read, on one line."""
        shown = (node.text for node in self.nodes if node.tag not in {"style", "title", "desc"})
        return " ".join(" ".join(shown).split())

    def all_of(self, tag: str) -> list[Node]:
        """Return the elements with a tag, in order."""
        return [node for node in self.nodes if node.tag == tag]


def read_page(page: str) -> ReadPage:
    """Return what a parser makes of the page."""
    read = ReadPage()
    read.feed(page)
    read.close()
    return read


def assert_self_contained(page: str) -> None:
    """Hold what every page keeps to: nothing loads or runs, names are unique, and each picture has a name."""
    read = read_page(page)
    ids = [node.attributes["id"] for node in read.nodes if "id" in node.attributes]
    names = {name for node in read.nodes for name in node.attributes}
    assert read.unclosed == []
    assert not {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "a:href",
        "use",
        "image",
    } & {node.tag for node in read.nodes}
    assert not {name for name in names if name.startswith("on")} | names & {
        "style",
        "src",
        "srcset",
        "xlink:href",
    }
    assert len(ids) == len(set(ids))
    targets = {node.attributes["href"] for node in read.nodes if "href" in node.attributes}
    assert targets <= {f"#{name}" for name in ids}
    for drawing in read.all_of("svg"):
        assert drawing.attributes["role"] == "img"
        named = drawing.attributes["aria-labelledby"].split()
        assert len(named) == 2
        assert set(named) <= set(ids)
    assert len(read.all_of("svg")) == len(read.all_of("figure")) == len(read.all_of("details"))
