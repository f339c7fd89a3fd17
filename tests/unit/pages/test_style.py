"""The colours of pages can be told from their ground, in light, in dark and on paper."""

from __future__ import annotations

import re

import pytest

from rune.pages.style import STYLE

TEXT_RATIO, MARK_RATIO = 4.5, 3.0
"""Least contrast by WCAG 2.2 (1.4.3, 1.4.11)."""

PALETTES = [
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})", block))
    for block in re.findall(r":root \{([^}]*)\}", STYLE)
]
LIGHT, DARK, PAPER = PALETTES
ON_THE_GROUND = ["ink", "soft", "first", "warn", "bad", "good"]
MARKS = ["first", "second", "third", "fourth", "soft", "bad"]


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_definition() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", PALETTES, ids=["light", "dark", "paper"])
@pytest.mark.parametrize("name", ON_THE_GROUND)
def test_text_can_be_read(name: str, palette: dict[str, str]) -> None:
    grounds = [palette["ground"], palette["raised"]]

    assert min(contrast(palette[name], ground) for ground in grounds) >= TEXT_RATIO
    assert contrast(palette["warn"], palette["warn-ground"]) >= TEXT_RATIO


@pytest.mark.parametrize("palette", PALETTES, ids=["light", "dark", "paper"])
@pytest.mark.parametrize("name", MARKS)
def test_mark_can_be_seen(name: str, palette: dict[str, str]) -> None:
    assert contrast(palette[name], palette["ground"]) >= MARK_RATIO


def test_palettes_name_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys() == PAPER.keys()
