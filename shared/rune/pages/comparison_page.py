"""Benchmarks side by side as one page."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element  # made here, nothing is parsed

from rune.bench.showing import describe_load, letter, name_of_number, number
from rune.bench.verdicts import FALSE_VERDICT_RATIO
from rune.contracts import ComparedJob, ComparedMetric, ComparedPoint, ComparedValue, Comparison
from rune.contracts.comparisons import GateCheck, Outcome
from rune.pages import doubts
from rune.pages.figures import (
    MARKS,
    Figure,
    Interval,
    Place,
    Series,
    Spread,
    draw_intervals,
    draw_over_load,
    draw_scatter,
)
from rune.pages.frame import figures, make_page, scrolled, section
from rune.pages.markup import Child, element, name, shortened, write_page
from rune.pages.values import NOT_MEASURED, amount, known, milliseconds, ratio, usd

MOST_HEAD_CHARS = 40
"""Of a job's name in the head of a column; the table of the benchmarks has the whole."""

MOST_TOLD = 3
"""Differences that the verdict names."""

_THROUGHPUTS = ("steady_output_throughput_tokens_per_s", "output_throughput_tokens_per_s")
_PRICE = "usd_per_million_output_tokens"
_TTFT = "ttft_ms"


def to_page(comparison: Comparison) -> str:
    """Return a comparison as HTML that needs nothing else."""
    letters = {job.job_id: letter(index) for index, job in enumerate(comparison.jobs)}
    warnings = [warning for job in comparison.jobs for warning in job.warnings]
    title = " and ".join(dict.fromkeys(job.name or job.model for job in comparison.jobs))
    body = [
        element(
            "header",
            None,
            element("p", {"class": "kind"}, "Benchmarks compared"),
            element("h1", None, name(title)),
            _gate_line(comparison),
            *(element("p", {"class": "verdict"}, line) for line in verdicts(comparison)),
        ),
        section("Benchmarks", _jobs(comparison, letters)),
    ]
    if comparison.checks:
        body.append(section("Limits", _checks(comparison.checks, letters)))
    if comparison.notes:
        notes = [element("li", None, name(note, 500)) for note in comparison.notes]
        body.append(section("What the reader must know", element("ul", {"class": "notes"}, *notes)))
    if drawn := [*_price_figure(comparison, letters), *_figures_over_load(comparison, letters)]:
        body.append(section("Load", figures(drawn)))
    names = {job.job_id: job.name for job in comparison.jobs if job.name}
    body += [_point(point, letters, names, index) for index, point in enumerate(comparison.points)]
    if warnings:
        body.append(section("What makes numbers doubtful", doubts.explanations(warnings)))
    body.append(section("How to read it", *_how_to_read(comparison)))
    return write_page(make_page(f"{title}: benchmarks compared", *body, footer=_FOOTER))


_FOOTER = ("The page has no prompts and no answers in it, and loads nothing.",)


# ---------------------------------------------------------------- in words


@dataclass(frozen=True, slots=True)
class _Difference:
    """A difference of one number at one point."""

    metric: ComparedMetric
    value: ComparedValue
    point: ComparedPoint


def verdicts(comparison: Comparison) -> Iterator[str]:
    """Yield what the comparison says of each benchmark but the first, a line each."""
    if not comparison.points:
        yield "The benchmarks have no load in common, so there is nothing to compare."
        return
    for index, job in enumerate(comparison.jobs[1:], start=1):
        yield f"{letter(index)} against A: {_verdict(comparison, job.job_id)}"


def _verdict(comparison: Comparison, job_id: str) -> str:
    every = [
        _Difference(metric, value, point)
        for point in comparison.points
        for metric in point.metrics
        for value in metric.values
        if value.job_id == job_id and value.verdict is not None
    ]
    told = {
        verdict: [each for each in every if each.value.verdict == verdict] for verdict in ("worse", "better")
    }
    parts = [f"{verdict} in {_most(found)}" for verdict, found in told.items() if found]
    if parts:
        return f"{'; '.join(parts)}."
    undecided = sum(each.value.verdict == "undecided" for each in every)
    equal = sum(each.value.verdict == "no difference" for each in every)
    if undecided:
        return f"undecided in {undecided} of {len(every)} numbers, and no sure difference in the others."
    return "no difference." if equal else "not comparable."


def _most(found: Sequence[_Difference]) -> str:
    """Return the largest differences, each number once, at the load at which it differs most."""
    ranked = sorted(found, key=lambda each: -abs(each.value.difference_ratio or 0.0))
    largest: dict[str, _Difference] = {}
    for each in ranked:
        largest.setdefault(_field(each.metric.name), each)
    named = [
        f"{_lower(name_of_number(_field(each.metric.name)))} ({_change(each.value)} at {describe_load(each.point)})"
        for each in list(largest.values())[:MOST_TOLD]
    ]
    more = len(largest) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _field(number_name: str) -> str:
    """Return the field that a number is of; its quantiles tell the same in other words."""
    return number_name.partition(".")[0]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _change(value: ComparedValue) -> str:
    if value.difference_ratio is not None:
        return f"{value.difference_ratio:+.1%}"
    return "differs" if value.difference is None else f"{value.difference:+.4g}"


# ---------------------------------------------------------------- tables


def _gate_line(comparison: Comparison) -> Element | None:
    """Return whether the limits are kept, and how many are not."""
    if comparison.gate is None:
        return None
    counts = Counter(check.outcome for check in comparison.checks)
    told = ", ".join(
        f"{counts[outcome]} {outcome}" for outcome in ("failed", "undecided", "passed") if counts[outcome]
    )
    return element(
        "p",
        {"class": "verdict"},
        "Gate: ",
        element("span", {"class": _OUTCOMES[comparison.gate]}, comparison.gate),
        f" ({told or 'no limit could be looked at'}).",
    )


_OUTCOMES: Mapping[Outcome, str] = {"passed": "better", "failed": "worse", "undecided": "warned"}


def _checks(checks: Sequence[GateCheck], letters: Mapping[str, str]) -> Element:
    """Return the limits, those first that are not kept."""
    ranked = sorted(checks, key=lambda check: ("failed", "undecided", "passed").index(check.outcome))
    titles = ("Number", "Load", "Benchmark", "First", "Value", "Ratio", "Limit", "Outcome")
    head = element("tr", None, *(element("th", {"scope": "col"}, title) for title in titles))
    rows = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, name_of_number(check.metric)),
            element("td", None, _short_load(check)),
            element("td", None, letters.get(check.job_id, "")),
            element("td", None, known(_amount(check.first_value, check.unit))),
            element("td", None, known(_amount(check.value, check.unit))),
            element("td", None, known(NOT_MEASURED if check.ratio is None else f"{check.ratio:.3g}")),
            element("td", None, f"{'≤' if check.better == 'lower' else '≥'} {check.limit_ratio:g}"),
            element(
                "td",
                None,
                element("span", {"class": _OUTCOMES[check.outcome]}, check.outcome),
                element("small", {"class": "none reason"}, name(check.reason, 300)),
            ),
        )
        for check in ranked
    ]
    table = element("table", {"class": "wide"}, element("thead", None, head), element("tbody", None, *rows))
    return scrolled(table, "The limits")


def _jobs(comparison: Comparison, letters: Mapping[str, str]) -> Element:
    jobs = comparison.jobs
    head = [
        element("th", {"scope": "col"}, title) for title in ("Letter", "Model", "Server", "GPU", "Benchmark")
    ]
    rows = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, letters[job.job_id]),
            element("td", None, name(job.model), *_stacked(job.warnings)),
            element("td", None, name(job.server or job.backend)),
            element("td", None, name(job.gpu) if job.gpu else "not rented by RUNE"),
            element("td", None, *_named(job), name(job.job_id), *_baseline(comparison, job)),
        )
        for job in jobs
    ]
    table = element(
        "table",
        {"class": "left middle"},
        element("thead", None, element("tr", None, *head)),
        element("tbody", None, *rows),
    )
    return scrolled(table, "The benchmarks")


def _named(job: ComparedJob) -> Iterator[Element]:
    if job.name:
        yield name(job.name)
        yield element("br")


def _baseline(comparison: Comparison, job: ComparedJob) -> Iterator[Element]:
    if comparison.baseline is not None and job is comparison.jobs[0]:
        yield element("small", {"class": "none"}, "baseline ", name(comparison.baseline))


def _stacked(warnings: Sequence[str]) -> Iterator[Element]:
    for warning in warnings:
        yield element("br")
        yield doubts.mark(warning)


def _point(point: ComparedPoint, letters: Mapping[str, str], names: Mapping[str, str], index: int) -> Element:
    drawn = [*_interval_figures(point, letters, index)]
    title = describe_load(point)
    return section(
        title[:1].upper() + title[1:],
        figures(drawn) if drawn else None,
        _metrics(point, letters, names),
    )


def _metrics(point: ComparedPoint, letters: Mapping[str, str], names: Mapping[str, str]) -> Element:
    if not point.metrics:
        return element("p", None, "Nothing was measured at this load in both.")
    first, *others = [value.job_id for value in point.metrics[0].values]
    titles: list[Sequence[Child]] = [("Number",), _head(first, letters, names)]
    for other in others:
        titles += [_head(other, letters, names), (f"{letters[other]} against {letters[first]}",)]
    head = element("tr", None, *(element("th", {"scope": "col"}, *title) for title in titles))
    rows = []
    for metric in point.metrics:
        base, *held_against = metric.values
        cells = [element("td", None, known(_amount(base.value, metric.unit)), _std(base, metric))]
        for value in held_against:
            cells.append(element("td", None, known(_amount(value.value, metric.unit)), _std(value, metric)))
            cells.append(_difference(value))
        label = element(
            "th",
            {"scope": "row"},
            f"{name_of_number(metric.name)} {'↓' if metric.better == 'lower' else '↑'}",
        )
        rows.append(element("tr", None, label, *cells))
    css = "wide" if len(others) > 1 else "middle"
    table = element("table", {"class": css}, element("thead", None, head), element("tbody", None, *rows))
    return scrolled(table, f"All numbers, {describe_load(point)}")


def _head(job_id: str, letters: Mapping[str, str], names: Mapping[str, str]) -> Sequence[Child]:
    given = names.get(job_id)
    if given is None:
        return (letters[job_id],)
    return letters[job_id], element("br"), element("small", {"class": "none"}, name(given, MOST_HEAD_CHARS))


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return NOT_MEASURED
    if unit == "ratio":
        return ratio(value)
    if unit == "score":
        return number(value)
    if unit == "ms":
        return milliseconds(value)
    return usd(value) if unit.startswith("USD") else amount(value, unit)


def _std(value: ComparedValue, metric: ComparedMetric) -> Element | None:
    # The spread of zeros and ones says nothing that their mean does not.
    if value.value is None or value.std is None or metric.unit == "ratio":
        return None
    return element("small", {"class": "none"}, f"± {_amount(value.std, metric.unit)}")


def _difference(value: ComparedValue) -> Element:
    verdict = value.verdict or ""
    change = None
    if value.difference_ratio is not None or value.difference is not None:
        change = f" {_change(value)}"
    css = verdict if verdict in {"better", "worse"} else "none"
    more = None
    if value.requests_to_decide is not None:
        more = element("small", {"class": "none"}, f"{value.requests_to_decide:,} requests would decide")
    return element("td", None, element("span", {"class": css}, verdict), change, more)


# ---------------------------------------------------------------- pictures


def _interval_figures(point: ComparedPoint, letters: Mapping[str, str], index: int) -> Iterator[Element]:
    """Yield one picture for each benchmark but the first, of all numbers of a point."""
    if not point.metrics:
        return
    for place, value in enumerate(point.metrics[0].values[1:], start=1):
        intervals, rows = [], []
        for metric in point.metrics:
            first, other = metric.values[0], metric.values[place]
            # Quantiles are in the table; with them the picture would be as long.
            if other.difference_ratio is None or not first.value or metric.name != _field(metric.name):
                continue
            low, high = (
                None if end is None else end / abs(first.value)
                for end in (other.interval_low, other.interval_high)
            )
            # So that better is to the right in every line, and nothing must be known to read it.
            sign = 1 if metric.better == "higher" else -1
            ends = None if low is None or high is None else sorted((sign * low, sign * high))
            intervals.append(
                Interval(
                    label=_short_name(metric.name),
                    value=sign * other.difference_ratio,
                    low=None if ends is None else ends[0],
                    high=None if ends is None else ends[1],
                    text=f"{other.difference_ratio:+.1%}",
                    is_good={"better": True, "worse": False}.get(other.verdict or ""),
                )
            )
            rows.append(
                (
                    name_of_number(metric.name),
                    f"{other.difference_ratio:+.1%}",
                    NOT_MEASURED if low is None or high is None else f"{low:+.1%} to {high:+.1%}",
                    other.verdict or "",
                )
            )
        if intervals:
            figure = Figure(
                f"difference-{index}-{place}",
                f"{letters[value.job_id]} against {letters[point.metrics[0].values[0].job_id]}",
                "Mark: difference of means. Line: its confidence interval. Hollow: no sure difference.",
                ("Number", "difference", "interval", "verdict"),
                rows,
            )
            yield draw_intervals(figure, intervals, "worse", "better")


def _short_name(field: str) -> str:
    """Return a number's name as it fits beside a picture."""
    whole, dot, quantile = field.partition(".")
    return shortened(f"{_SHORT.get(whole, name_of_number(whole))}{' ' if dot else ''}{quantile}", 21)


_SHORT = {
    "ttft_ms": "First token",
    "tpot_ms": "Token after token",
    "itl_ms": "Gap between chunks",
    "e2el_ms": "Whole answer",
    "steady_output_throughput_tokens_per_s": "Throughput, steady",
    "output_throughput_tokens_per_s": "Throughput",
    "request_throughput_per_s": "Requests per second",
    "output_tokens_per_s_per_user": "Speed for each user",
    "ttft_from_due_ms": "First, from due",
    "e2el_from_due_ms": "Whole, from due",
    "failed_ratio": "Failed",
    "completed_ratio": "Completed",
    "good_ratio": "Within limits",
    "quality_score": "Quality",
    "reliability_ratio": "Reliability",
    "usd_per_million_output_tokens": "Price of tokens",
}


def _price_figure(comparison: Comparison, letters: Mapping[str, str]) -> Iterator[Element]:
    places, rows = [], []
    for point in comparison.points:
        metrics = {metric.name: metric for metric in point.metrics}
        if _TTFT not in metrics or _PRICE not in metrics:
            continue
        pairs = zip(metrics[_TTFT].values, metrics[_PRICE].values, strict=True)
        for index, (ttft, price) in enumerate(pairs):
            if ttft.value is not None and price.value is not None:
                label = f"{letters[ttft.job_id]} {_short_load(point)}"
                places.append(Place(label, ttft.value, price.value, index))
                rows.append(
                    (
                        f"{letters[ttft.job_id]}, {describe_load(point)}",
                        milliseconds(ttft.value),
                        usd(price.value),
                    )
                )
    if places:
        figure = Figure(
            "price",
            "Price against time to first token",
            "Down and left is better. A letter is a benchmark, the number beside it the load.",
            ("Benchmark", "First token, mean", "USD per 1 M output tokens"),
            rows,
        )
        yield draw_scatter(figure, places, "mean time to first token, ms", "USD per 1 M output tokens")


def _figures_over_load(comparison: Comparison, letters: Mapping[str, str]) -> Iterator[Element]:
    for kind, x_title in (("closed", "requests at a time"), ("open", "requests arriving per second")):
        points = sorted(
            (point for point in comparison.points if point.load == kind),
            key=lambda point: (point.request_rate_per_s or 0.0, point.max_concurrency),
        )
        has_steady = any(metric.name == _THROUGHPUTS[0] for point in points for metric in point.metrics)
        for metric_name, unit in (
            (_THROUGHPUTS[0 if has_steady else 1], "output tokens per second"),
            (_TTFT, "ms"),
        ):
            series = _series(points, metric_name, letters)
            if not any(spread for each in series for spread in each.spreads):
                continue
            rows: list[Sequence[Child]] = []
            for place, point in enumerate(points):
                shown = [each.spreads[place] for each in series]
                texts = [NOT_MEASURED if each is None else f"{number(each.value)}" for each in shown]
                rows.append((describe_load(point), *texts))
            figure = Figure(
                f"{metric_name}-{kind}",
                f"{name_of_number(metric_name)} over load",
                "Mark: mean. Line: standard deviation. Letters are benchmarks.",
                ("Load", *(each.label for each in series)),
                rows,
            )
            yield draw_over_load(figure, [_short_load(point) for point in points], series, x_title, unit)


def _series(points: Sequence[ComparedPoint], metric_name: str, letters: Mapping[str, str]) -> list[Series]:
    found = {
        (id(point), value.job_id): value
        for point in points
        for metric in point.metrics
        if metric.name == metric_name
        for value in metric.values
    }
    return [
        Series(label, [_spread(found.get((id(point), job_id))) for point in points], index % MARKS)
        for index, (job_id, label) in enumerate(letters.items())
    ]


def _spread(value: ComparedValue | None) -> Spread | None:
    if value is None or value.value is None:
        return None
    if value.std is None:
        return Spread(value.value)
    return Spread(value.value, max(value.value - value.std, 0.0), value.value + value.std)


def _short_load(point: ComparedPoint | GateCheck) -> str:
    return (
        f"{point.request_rate_per_s:g}"
        if point.request_rate_per_s is not None
        else f"{point.max_concurrency}"
    )


def _how_to_read(comparison: Comparison) -> Iterator[Element]:
    yield element(
        "p",
        None,
        f"Better and worse: the {comparison.confidence:.0%} confidence interval of the difference leaves zero out, "
        f"so does the correction for many numbers (Benjamini and Hochberg, {FALSE_VERDICT_RATIO:.0%}), and the "
        f"difference is at least {comparison.threshold_ratio:.0%}. No difference: it is surely smaller. Undecided: "
        "neither is sure. ↓ lower is better, ↑ higher. Numbers without spread are not comparable. ± is the "
        "standard deviation over requests, or of throughput in ten parts of the time.",
    )
    yield element(
        "p",
        None,
        "Each benchmark is one measurement at one time. What changes from hour to hour, as other guests of a "
        "machine do, is in no interval: repeat what matters.",
    )
