"""Pictures of measured numbers, as SVG within the page: pure functions over plain data.

Each has a name and a description for who does not see it, and its numbers as a table. All are 340 units wide, so
that their letters have their own size on a narrow screen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element  # made here, nothing is parsed

from rune.pages.markup import Child, element
from rune.pages.scales import Scale, make_scale, tick_text, time_scale

WIDTH_PX = 340
HEIGHT_PX = 216
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 46.0, 12.0, 22.0, 38.0
LETTER_PX, LINE_PX = 6.2, 12.0
"""About how wide a letter of a picture is, and how high."""

MARKS = 5
"""Different colours and shapes, told apart without seeing colours."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a picture is called and what it shows.

    Attributes
    ----------
    key
        Different for each figure of a page.
    legend
        How to read it, in a sentence or two.
    columns, rows
        Its numbers as texts, the first column being what each row is about.
    """

    key: str
    title: str
    legend: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Child]]


@dataclass(frozen=True, slots=True)
class Place:
    """A point of a scatter: two values with a name; `mark` is its colour and shape."""

    label: str
    x: float
    y: float
    mark: int = 0
    is_strong: bool = False
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """A value with how far single ones are from it; None where that is not known.

    Attributes
    ----------
    low, high
        Ends of a thin line.
    thick_low, thick_high
        Ends of a thick one.
    """

    value: float
    low: float | None = None
    high: float | None = None
    thick_low: float | None = None
    thick_high: float | None = None
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Values at each of the loads, in their order; None where there is none."""

    label: str
    spreads: Sequence[Spread | None]
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from one value to another, with its text."""

    label: str
    begin: float
    end: float
    text: str
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Panel:
    """One strip of dots over time.

    Attributes
    ----------
    dots
        Seconds and a value each.
    crosses, rings
        The same of what failed, and of what was cut off.
    """

    title: str
    dots: Sequence[tuple[float, float]]
    crosses: Sequence[tuple[float, float]] = field(default=())
    rings: Sequence[tuple[float, float]] = field(default=())
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio with its confidence interval, None where there is none.

    Attributes
    ----------
    label
        What it is about.
    text
        The ratio in words.
    is_good
        None where it is neither good nor bad.
    """

    label: str
    value: float
    low: float | None
    high: float | None
    text: str
    is_good: bool | None


def draw_scatter(figure: Figure, places: Sequence[Place], x_title: str, y_title: str) -> Element:
    """Return points at their values, each with its label beside it where there is room."""
    x = make_scale([place.x for place in places], LEFT_PX, WIDTH_PX - RIGHT_PX, may_be_log=True)
    y = make_scale([place.y for place in places], HEIGHT_PX - BOTTOM_PX, TOP_PX, may_be_log=True)
    spots = [(x.at(place.x), y.at(place.y)) for place in places]
    drawn = [
        _dot(spot, place.mark, is_hollow=place.is_doubtful) for place, spot in zip(places, spots, strict=True)
    ]
    labels = _labels(places, spots)
    return _draw(
        figure, HEIGHT_PX, *_frame(x, y, _axis_title(x_title, x), _axis_title(y_title, y)), *drawn, *labels
    )


def draw_over_load(
    figure: Figure,
    loads: Sequence[str],
    series: Sequence[Series],
    x_title: str,
    y_title: str,
    *,
    rule: float | None = None,
) -> Element:
    """Return values over loads that stand side by side in their order, each with its spread.

    Parameters
    ----------
    rule
        A value at which a dashed line is drawn.
    """
    known = [spread for each in series for spread in each.spreads if spread is not None]
    ends = [end for spread in known for end in _ends(spread)] + ([] if rule is None else [rule])
    # A lower end of 0 or below, as mean - std may have, has no logarithm, but it is no reason against one.
    may_be_log = all(spread.value > 0 for spread in known)
    y = make_scale(
        [end for end in ends if end > 0] if may_be_log else ends,
        HEIGHT_PX - BOTTOM_PX,
        TOP_PX,
        may_be_log=may_be_log,
    )
    step_px = (WIDTH_PX - LEFT_PX - RIGHT_PX) / len(loads)
    centres = [LEFT_PX + step_px * (index + 0.5) for index in range(len(loads))]
    parts = [*_grid(y, _axis_title(y_title, y)), *_categories(loads, centres, step_px, x_title)]
    if rule is not None:
        parts.append(_line("rule", LEFT_PX, y.at(rule), WIDTH_PX - RIGHT_PX, y.at(rule)))
    for index, each in enumerate(series):
        # Beside each other, so that their spreads do not lie on top of each other.
        shift_px = (index - (len(series) - 1) / 2) * min(9.0, step_px * 0.7 / len(series))
        parts += _drawn_series(each, [centre + shift_px for centre in centres], y)
    return _draw(figure, HEIGHT_PX, *parts)


def draw_over_time(figure: Figure, panels: Sequence[Panel], duration_s: float) -> Element:
    """Return one strip above the other, with a dot for each request at the time of its sending."""
    strip_px, gap_px = 92.0, 28.0
    height_px = TOP_PX + len(panels) * (strip_px + gap_px) + 14
    x = time_scale(duration_s, LEFT_PX, WIDTH_PX - RIGHT_PX)
    parts: list[Element] = []
    for index, panel in enumerate(panels):
        top_px = TOP_PX + index * (strip_px + gap_px)
        values = [value for _, value in (*panel.dots, *panel.crosses, *panel.rings)]
        y = make_scale([value for value in values if value > 0], top_px + strip_px, top_px, may_be_log=True)
        parts += _grid(y, _axis_title(panel.title, y))
        parts.append(
            _shapes(f"dots s{panel.mark % MARKS}", [_round_dot(x.at(s), y.at(v)) for s, v in panel.dots])
        )
        parts.append(_shapes("ring", [_ring(x.at(s), y.at(v)) for s, v in panel.rings]))
        parts.append(_shapes("cross", [_cross(x.at(s), y.at(v)) for s, v in panel.crosses]))
    parts += _x_ticks(x, height_px - 26 - 6, "seconds since the point began")
    return _draw(figure, height_px, *parts)


def draw_bars(figure: Figure, bars: Sequence[Bar]) -> Element:
    """Return one bar a row, with its name to the left and its text at its end."""
    row_px, left_px = 26.0, 92.0
    widest_px = max((len(bar.text) for bar in bars), default=0) * LETTER_PX + 8
    high = max((bar.end for bar in bars), default=0.0) or 1.0
    scale_px = (WIDTH_PX - left_px - widest_px) / high
    parts: list[Element] = [_line("axis", left_px, 2, left_px, row_px * len(bars) + 2)]
    for index, bar in enumerate(bars):
        middle_px = row_px * (index + 0.5) + 2
        begin_px, end_px = left_px + bar.begin * scale_px, left_px + bar.end * scale_px
        parts.append(_text(left_px - 8, middle_px + 4, bar.label, anchor="end"))
        parts.append(
            element(
                "rect",
                {
                    "class": f"f{bar.mark % MARKS}",
                    "x": begin_px,
                    "y": middle_px - 8,
                    "width": max(end_px - begin_px, 1.0 if bar.end > bar.begin else 0.0),
                    "height": 16,
                },
            )
        )
        parts.append(_text(end_px + 6, middle_px + 4, bar.text, css="strong"))
    return _draw(figure, row_px * len(bars) + 6, *parts)


def draw_intervals(figure: Figure, intervals: Sequence[Interval], low_text: str, high_text: str) -> Element:
    """Return ratios around zero, one a row, each with its confidence interval; wide ones are cut at the edge."""
    row_px, left_px, right_px, top_px = 24.0, 132.0, 58.0, 20.0
    reach = max((abs(each.value) for each in intervals), default=0.0)
    ends = [abs(end) for each in intervals for end in (each.low, each.high) if end is not None]
    # One interval that spans everything would hide all others.
    reach = max(reach, min(max(ends, default=0.0), 3 * reach), 0.05) * 1.05
    middle_px = left_px + (WIDTH_PX - left_px - right_px) / 2
    scale_px = (WIDTH_PX - left_px - right_px) / 2 / reach
    bottom_px = top_px + row_px * len(intervals)

    def place(value: float) -> float:
        return middle_px + min(max(value, -reach), reach) * scale_px

    parts: list[Element] = [
        _text(middle_px - 6, 11, f"← {low_text}", anchor="end"),
        _text(middle_px + 6, 11, f"{high_text} →"),
        _line("zero", middle_px, top_px - 4, middle_px, bottom_px),
    ]
    for index, each in enumerate(intervals):
        centre_px = top_px + row_px * (index + 0.5)
        mark = 4 if each.is_good is None else 2 if each.is_good else 1
        parts.append(_text(left_px - 8, centre_px + 4, each.label, anchor="end"))
        if each.low is not None and each.high is not None:
            parts.append(_line(f"s{mark} thin", place(each.low), centre_px, place(each.high), centre_px))
        parts.append(_dot((place(each.value), centre_px), mark, is_hollow=each.is_good is None))
        parts.append(_text(WIDTH_PX, centre_px + 4, each.text, anchor="end", css="strong"))
    return _draw(figure, bottom_px + 4, *parts)


# ---------------------------------------------------------------- what all have


def _draw(figure: Figure, height_px: float, *parts: Element) -> Element:
    title_id, description_id = f"{figure.key}-t", f"{figure.key}-d"
    drawing = element(
        "svg",
        {
            "viewBox": f"0 0 {WIDTH_PX} {height_px:g}",
            "role": "img",
            "aria-labelledby": f"{title_id} {description_id}",
        },
        element("title", {"id": title_id}, figure.title),
        element("desc", {"id": description_id}, f"{figure.legend} The numbers are in the table below."),
        *parts,
    )
    caption = element(
        "figcaption", None, element("strong", None, figure.title), element("span", None, figure.legend)
    )
    return element("figure", None, caption, drawing, _numbers(figure))


def _numbers(figure: Figure) -> Element:
    head = element("tr", None, *(element("th", {"scope": "col"}, column) for column in figure.columns))
    rows = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, row[0]),
            *(element("td", None, cell) for cell in row[1:]),
        )
        for row in figure.rows
    ]
    table = element("table", None, element("thead", None, head), element("tbody", None, *rows))
    # Reachable by keyboard, as what can be scrolled must be.
    scrolled = element(
        "div",
        {"class": "scroll", "tabindex": 0, "role": "region", "aria-label": f"Numbers of: {figure.title}"},
        table,
    )
    return element("details", None, element("summary", None, "Numbers"), scrolled)


def _axis_title(title: str, scale: Scale) -> str:
    return f"{title}, logarithmic" if scale.is_log else title


def _frame(x: Scale, y: Scale, x_title: str, y_title: str) -> Iterator[Element]:
    yield from _grid(y, y_title)
    yield from _x_ticks(x, y.begin_px, x_title)


def _grid(y: Scale, title: str) -> Iterator[Element]:
    """Yield the lines of a vertical axis with their numbers, and its title above them."""
    for tick in y.ticks:
        at_px = y.at(tick)
        is_base = tick == y.ticks[0]
        yield _line("axis" if is_base else "grid", LEFT_PX, at_px, WIDTH_PX - RIGHT_PX, at_px)
        yield _text(LEFT_PX - 6, at_px + 4, tick_text(tick), anchor="end")
    yield _text(0, y.end_px - 11, title)


def _x_ticks(x: Scale, base_px: float, title: str) -> Iterator[Element]:
    last_px = -100.0
    for tick in x.ticks:
        at_px, text = x.at(tick), tick_text(tick)
        half_px = len(text) * LETTER_PX / 2
        middle_px = min(at_px, WIDTH_PX - half_px)
        if middle_px - half_px < last_px + 6:
            continue
        last_px = middle_px + half_px
        yield _line("axis", at_px, base_px, at_px, base_px + 4)
        yield _text(middle_px, base_px + 15, text, anchor="middle")
    yield _text(x.end_px, base_px + 30, title, anchor="end")


def _categories(
    loads: Sequence[str], centres: Sequence[float], step_px: float, title: str
) -> Iterator[Element]:
    base_px = HEIGHT_PX - BOTTOM_PX
    widest_px = max(len(load) for load in loads) * LETTER_PX + 6
    every = max(1, -int(-widest_px // step_px))
    for index, (load, centre_px) in enumerate(zip(loads, centres, strict=True)):
        if index % every == 0:
            yield _line("axis", centre_px, base_px, centre_px, base_px + 4)
            yield _text(centre_px, base_px + 15, load, anchor="middle")
    yield _text(WIDTH_PX - RIGHT_PX, base_px + 30, title, anchor="end")


def _ends(spread: Spread) -> Iterator[float]:
    for end in (spread.value, spread.low, spread.high, spread.thick_low, spread.thick_high):
        if end is not None:
            yield end


def _drawn_series(series: Series, places_px: Sequence[float], y: Scale) -> Iterator[Element]:
    mark = series.mark % MARKS
    known = [(x, each) for x, each in zip(places_px, series.spreads, strict=True) if each is not None]
    pieces: list[list[str]] = [[]]
    for x, each in zip(places_px, series.spreads, strict=True):
        if each is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{x:.1f} {y.at(each.value):.1f}")
    yield _shapes(f"joined s{mark}", [f"M{'L'.join(piece)}" for piece in pieces if len(piece) > 1])
    for x, each in known:
        if each.low is not None and each.high is not None:
            yield _line(f"thin s{mark}", x, y.at(each.low), x, y.at(each.high))
        if each.thick_low is not None and each.thick_high is not None:
            yield _line(f"thick s{mark}", x, y.at(each.thick_low), x, y.at(each.thick_high))
        yield _dot((x, y.at(each.value)), mark, is_hollow=each.is_doubtful)
    if series.label and known:
        last_x, last = known[-1]
        yield _text(last_x + 6, y.at(last.value) - 6, series.label, css="strong")


def _labels(places: Sequence[Place], spots: Sequence[tuple[float, float]]) -> Iterator[Element]:
    """Yield labels where they touch no point and no other label, the strong ones first.

    Those for which there is no room are left out; the table has them.
    """
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in spots]
    ranked = sorted(zip(places, spots, strict=True), key=lambda pair: not pair[0].is_strong)
    for place, (x, y) in ranked:
        width_px = len(place.label) * LETTER_PX
        for left, top in (
            (x + 8, y - LINE_PX / 2),
            (x - 8 - width_px, y - LINE_PX / 2),
            (x - width_px / 2, y - 8 - LINE_PX),
            (x - width_px / 2, y + 8),
        ):
            box = (left, top, left + width_px, top + LINE_PX)
            fits = box[0] >= LEFT_PX and box[2] <= WIDTH_PX and box[1] >= TOP_PX - LINE_PX / 2
            if fits and box[3] <= HEIGHT_PX - BOTTOM_PX and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                yield _text(left, top + 10, place.label, css="strong" if place.is_strong else None)
                break


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _dot(at: tuple[float, float], mark: int, *, is_hollow: bool) -> Element:
    """Return a mark of the given colour and shape around a place."""
    x, y = at
    shape = (
        f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
        f"M{x - 3.7:.1f} {y - 3.7:.1f}h7.4v7.4h-7.4z",
        f"M{x:.1f} {y - 4.8:.1f}l4.6 8h-9.2z",
        f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z",
        f"M{x - 4.5:.1f} {y - 2:.1f}h9v4h-9z",
    )[mark % MARKS]
    fill = "hollow" if is_hollow else f"f{mark % MARKS}"
    return element("path", {"class": f"dot s{mark % MARKS} {fill}", "d": shape})


def _shapes(css: str, pieces: Sequence[str]) -> Element:
    """Return many shapes as one element, which takes a tenth of their size."""
    return element("path", {"class": css, "d": "".join(pieces)})


def _round_dot(x: float, y: float) -> str:
    return f"M{x:.1f} {y:.1f}h0"


def _cross(x: float, y: float) -> str:
    return f"M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"


def _ring(x: float, y: float) -> str:
    return f"M{x - 3:.1f} {y:.1f}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0"


def _line(css: str, x1: float, y1: float, x2: float, y2: float) -> Element:
    return element("line", {"class": css, "x1": x1, "y1": y1, "x2": x2, "y2": y2})


def _text(x: float, y: float, text: str, *, anchor: str | None = None, css: str | None = None) -> Element:
    return element("text", {"x": x, "y": y, "text-anchor": anchor, "class": css}, text)
