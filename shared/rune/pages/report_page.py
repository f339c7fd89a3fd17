"""A benchmark's report as one page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element  # made here, nothing is parsed

from rune.bench.diagnosis_showing import summarize
from rune.bench.headline import output_rate
from rune.bench.showing import describe_load
from rune.contracts import BenchmarkReport, Distribution, RunReport
from rune.contracts.benchmarks import CapacityReport
from rune.contracts.receipts import ReceiptLine
from rune.pages import doubts
from rune.pages.diagnosis_page import diagnosis_sections
from rune.pages.dots import DotSample, thinned
from rune.pages.figures import (
    Bar,
    Figure,
    Panel,
    Place,
    Series,
    Spread,
    draw_bars,
    draw_over_load,
    draw_over_time,
    draw_scatter,
)
from rune.pages.frame import facts, figures, make_page, scrolled, section, table_of
from rune.pages.markup import MAX_CODE_CHARS, Child, element, name, shortened, write_page
from rune.pages.run_tables import server_section, turns_section
from rune.pages.values import NOT_MEASURED, amount, cell, known, milliseconds, ratio, seconds, usd

MOST_DOTS = 8000
"""Of all runs together: more make a page of a megabyte, in which no single one is seen."""
MOST_DOTS_OF_A_RUN = 1500

_ENDED_BY: Mapping[str, str] = {
    "all_measured": "All points of the workload were measured.",
    "throughput_flat": "The sweep ended since throughput rose no further.",
    "too_few_requests": "The sweep ended since there were fewer requests than slots.",
    "goodput_failed": "The sweep ended since fewer than 90% of the requests kept the limits.",
    "errors": "The workload ended early: too many requests failed.",
    "time_over": "The workload ended early: its time was over.",
    "cost_cap": "The workload ended early: its money was over.",
    "capacity_found": "The search found the highest load within the limits.",
    "limits_never_reached": "The search ended: the largest load is within the limits.",
    "none_within_limits": "The search ended: the smallest load is not within the limits.",
    "search_undecided": "The search ended: a load at the border is not sure.",
    "points_over": "The search ended: all its points were used.",
}

_PHASES = {
    "search": "Search",
    "boot": "Boot",
    "pull": "Download",
    "load": "Load",
    "first_token": "First token",
}

_PAID_FOR = {
    "boot": "Boot",
    "pull": "Download",
    "load": "Load",
    "work": "Measuring",
    "judge": "Judging",
    "wait": "Waiting",
    "release": "Release",
    "other": "Other",
}


@dataclass(frozen=True, slots=True)
class _Latency:
    """One of the times that are shown over the load."""

    place: doubts.Place
    title: str
    read: Callable[[RunReport], Distribution | None]
    mark: int


_LATENCIES = (
    _Latency("ttft", "Time to first token", lambda run: run.ttft_ms, 1),
    _Latency("tpot", "Time per output token", lambda run: run.tpot_ms, 2),
    _Latency("e2el", "Whole answer", lambda run: run.e2el_ms, 3),
)


@dataclass(frozen=True, slots=True)
class ReportPage:
    """What a page is made of.

    Attributes
    ----------
    dots
        By run; of a run that is missing the single requests could not be read.
    has_records
        Whether the benchmark has files of single requests at all.
    bill
        Lines of what providers charge for the job; None where that could not be read.
    """

    report: BenchmarkReport
    dots: Mapping[int, DotSample]
    has_records: bool
    bill: Sequence[ReceiptLine] | None


def to_page(page: ReportPage) -> str:
    """Return a report as HTML that needs nothing else."""
    report = page.report
    warnings = [*report.warnings, *(warning for run in report.runs for warning in run.warnings)]
    body = [
        element(
            "header",
            None,
            element("p", {"class": "kind"}, "Benchmark report"),
            element("h1", None, name(_title(report))),
            element("p", {"class": "verdict"}, verdict(report)),
            _facts(report),
        ),
    ]
    if report.diagnosis is None:
        body.append(section("Points", _points(report), *_how_to_read_points(report)))
    else:
        body += diagnosis_sections(report.diagnosis)
    if warnings:
        body.append(section("What makes numbers doubtful", doubts.explanations(warnings)))
    if drawn := [*_price_figure(report), *_capacity_figure(report), *_figures_over_load(report)]:
        body.append(section("Load", figures(drawn)))
    by_load = _by_load(report.runs)
    body += [*server_section(by_load), *turns_section(by_load)]
    if report.diagnosis is None:
        body.append(section("Every request", *_over_time(page)))
    body.append(section("Time and money", *_time_and_money(page)))
    return write_page(make_page(f"{_title(report)}: benchmark report", *body, footer=_footer(report)))


# ---------------------------------------------------------------- in words


def verdict(report: BenchmarkReport) -> str:
    """Return what the report says, as one line."""
    best = _best(report)
    if report.diagnosis is not None:
        return summarize(report.diagnosis)
    if best is None:
        if not report.runs:
            return "Nothing was measured."
        answered = sum(run.completed for run in report.runs)
        if answered:
            return f"{answered:,} requests were answered, but no speed and no price follows from the answers."
        failed = sum(run.failed for run in report.runs)
        why = f"{failed:,} failed" if failed else "none came to its end"
        return f"No request was answered: {why}. So there are no times, no speeds and no prices."
    rate = _rate(best)
    parts = [f"{amount(rate, 'output tokens per second')} with {_load_in_a_sentence(best)}"]
    if best.ttft_ms is not None:
        parts.append(f"the first token after {milliseconds(best.ttft_ms.median)} (median)")
    price = _price(best)
    if price is not None:
        parts.append(f"{usd(price)} per million output tokens")
    if best.good_ratio is not None:
        parts.append(f"{ratio(best.good_ratio)} of the requests within the limits")
    sentence = f"{', '.join(parts)}.{_capacity_in_a_sentence(report.capacity)}"
    doubtful = [shortened(each, MAX_CODE_CHARS) for each in dict.fromkeys([*report.warnings, *best.warnings])]
    return f"{sentence} Read with care: {', '.join(doubtful)}." if doubtful else sentence


def _capacity_in_a_sentence(capacity: CapacityReport | None) -> str:
    if capacity is None:
        return ""
    unit = "requests at a time" if capacity.load == "concurrency" else "requests per second"
    if capacity.highest is None:
        return " No load was within the limits."
    sure = [f"{capacity.surely_within:g} surely is"] if capacity.surely_within is not None else []
    sure += [f"{capacity.surely_beyond:g} surely is not"] if capacity.surely_beyond is not None else []
    return f" {capacity.highest:g} {unit} are within the limits{f' ({", ".join(sure)})' if sure else ''}."


def _load_in_a_sentence(run: RunReport) -> str:
    if run.request_rate_per_s is not None:
        return f"{run.request_rate_per_s:g} requests arriving per second"
    return (
        "one request at a time" if run.max_concurrency == 1 else f"{run.max_concurrency} requests at a time"
    )


def _short_load(run: RunReport) -> str:
    return f"{run.request_rate_per_s:g}/s" if run.request_rate_per_s is not None else f"{run.max_concurrency}"


def _best(report: BenchmarkReport) -> RunReport | None:
    return next((run for run in report.runs if run.index == report.best_run), None)


def _rate(run: RunReport) -> float | None:
    """Return the throughput; a point at which nothing came has none, whatever its duration."""
    return output_rate(run) or None


def _by_load(runs: Sequence[RunReport]) -> list[RunReport]:
    """Return runs by rising load: a search measures them in another order, and some loads again."""
    return sorted(
        runs, key=lambda run: (run.load, run.request_rate_per_s or 0.0, run.max_concurrency, run.index)
    )


def _price(run: RunReport) -> float | None:
    return None if run.cost is None else run.cost.usd_per_million_output_tokens


def _title(report: BenchmarkReport) -> str:
    return report.name or report.model.id


def _facts(report: BenchmarkReport) -> Element:
    server = " ".join(part for part in (report.server.name, report.server.version) if part)
    model = [part for part in (report.model.parameter_size, report.model.quantization) if part]
    # Where the title is another one, the model's name stands here.
    told = [*([report.model.id] if report.name else []), ", ".join(model) or "size unknown"]
    hardware = report.hardware
    machine = (
        "not rented by RUNE"
        if hardware is None
        else f"{hardware.gpu_count} × {hardware.gpu_name}, {hardware.vram_mb / 1024:.0f} GB, {hardware.place}"  # noqa: RUF001  # times
    )
    dataset, sampling = report.dataset, report.sampling
    thing = "prompt" if report.diagnosis is None else "case"
    region = report.client_region or "an unknown region"
    lengths = f", up to {sampling.max_tokens:,} tokens each" if sampling.max_tokens is not None else ""
    return facts(
        (
            "Model",
            [*map(name, told), *doubts.at(report.warnings, "model")],
        ),
        ("Server", [name(server or report.backend), *doubts.at(report.warnings, "server")]),
        ("Machine", [name(machine)]),
        ("Workload", [name(f"{dataset.name}, {_counted(dataset.prompt_count, thing)}{lengths}")]),
        ("Measured", [f"{report.started_at:%d %B %Y, %H:%M} UTC, from ", name(region)]),
        ("End", [_ENDED_BY.get(report.ended_by, report.ended_by), *doubts.at(report.warnings, "end")]),
    )


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def _footer(report: BenchmarkReport) -> Sequence[Child]:
    return (
        name(
            f"RUNE {report.tool_version}, report {report.schema_version} of benchmark {report.benchmark_id}."
        ),
        " ",
        "The page has no prompts and no answers in it, and loads nothing.",
    )


# ---------------------------------------------------------------- the table


def _points(report: BenchmarkReport) -> Element:
    has_goodput = any(run.good_ratio is not None for run in report.runs)
    has_quality = any(run.quality is not None for run in report.runs)
    has_price = any(run.cost is not None for run in report.runs)
    heads: list[tuple[str, str | None]] = [
        ("Load", None),
        ("Answered", "of requests"),
        ("Throughput", "output tokens/s"),
        ("First token", "median, p95"),
        ("Token after token", "median, p95"),
        ("Whole answer", "median, p95"),
    ]
    heads += [("Within limits", "of requests")] if has_goodput else []
    heads += [("Right", "of answers")] if has_quality else []
    heads += [("Price", "1 M output tokens")] if has_price else []
    rows = []
    for run in _by_load(report.runs):
        is_best = run.index == report.best_run
        cells = [*_measured_cells(run, is_best=is_best)]
        cells += [element("td", None, known(ratio(run.good_ratio)))] if has_goodput else []
        cells += [_quality_cell(run, report.warnings)] if has_quality else []
        cells += (
            [element("td", None, known(usd(_price(run))), *doubts.of_run(run, "price"))] if has_price else []
        )
        rows.append(element("tr", {"class": "best" if is_best else None}, *cells))
    return scrolled(table_of(heads, rows), "Numbers of each point")


def _measured_cells(run: RunReport, *, is_best: bool) -> Iterator[Element]:
    best = element("small", None, "best") if is_best else None
    yield element("th", {"scope": "row"}, _short_load(run), best, *_stacked(doubts.of_run(run, "load")))
    total = run.num_prompts
    failed = [f"{run.failed:,} failed"] if run.failed else []
    failed += [f"{run.cut_off:,} cut off"] if run.cut_off else []
    yield element(
        "td",
        None,
        f"{run.completed:,} of {total:,}",
        *(element("small", {"class": "none"}, text) for text in failed),
        *(
            element(
                "small", {"class": "none"}, f"{count:,} {shortened(code, MAX_CODE_CHARS)}{_told(run, code)}"
            )
            for code, count in _errors(run)
        ),
        *doubts.of_run(run, "requests"),
    )
    windows = run.steady_output_throughput_windows_tokens_per_s or run.output_throughput_windows_tokens_per_s
    spread = None if windows is None or windows.std is None else f"± {amount(windows.std, '')}".strip()
    rate = _rate(run)
    yield element(
        "td",
        None,
        known(NOT_MEASURED if rate is None else amount(rate, "").strip()),
        None if spread is None or rate is None else element("small", {"class": "none"}, spread),
        *doubts.of_run(run, "throughput"),
    )
    yield cell(run.ttft_ms, *doubts.of_run(run, "ttft"))
    yield cell(run.tpot_ms, *doubts.of_run(run, "tpot"))
    yield cell(run.e2el_ms, *doubts.of_run(run, "e2el"))


def _told(run: RunReport, code: str) -> str:
    told = run.error_sentences.get(code)
    return f": {shortened(told, _MAX_TOLD_CHARS)}" if told else ""


_MAX_TOLD_CHARS = 160


def _errors(run: RunReport) -> list[tuple[str, int]]:
    return sorted(run.errors_by_class.items(), key=lambda item: (-item[1], item[0]))[:3]


def _quality_cell(run: RunReport, warnings: Sequence[str]) -> Element:
    quality = run.quality
    share = None if quality is None else quality.reliability_ratio
    return element("td", None, known(ratio(share)), *doubts.at(warnings, "quality"))


def _stacked(marks: Sequence[Element]) -> Iterator[Element]:
    for each in marks:
        yield element("br")
        yield each


def _how_to_read_points(report: BenchmarkReport) -> Iterator[Element]:
    has_open = any(run.load == "open" for run in report.runs)
    sentences = ["Load is the number of requests under way at a time"]
    sentences.append(", or how many arrive per second. " if has_open else ". ")
    sentences.append(
        "Throughput is that of the time in which all slots were busy, ± its spread over ten parts of it. "
    )
    sentences.append("Where p95 would need more requests, the highest value stands in its place. ")
    yield element("p", {"class": "soft"}, "".join(sentences))


# ---------------------------------------------------------------- over load


def _price_figure(report: BenchmarkReport) -> Iterator[Element]:
    """Yield price against the time to first token, or throughput where there is no price."""
    with_ttft = [(run, run.ttft_ms) for run in report.runs if run.ttft_ms is not None]
    priced = [(run, ttft, price) for run, ttft in with_ttft if (price := _price(run)) is not None]
    if priced:
        yield _scatter(
            report,
            priced,
            title="Price against time to first token",
            y_title="USD per 1 M output tokens",
            legend="Down and left is better. Each mark is a point, with its load beside it.",
            texts=[usd(price) for _, _, price in priced],
        )
    rated = [(run, ttft, rate) for run, ttft in with_ttft if (rate := _rate(run)) is not None]
    if not priced and rated:
        why = "Tokens have no price here, since RUNE did not rent this server."
        if report.cost is not None or report.token_cost is not None:
            why = "Tokens have no price here, since the server did not count them."
        yield _scatter(
            report,
            rated,
            title="Throughput against time to first token",
            y_title="output tokens per second",
            legend=f"Up and left is better. {why}",
            texts=[amount(rate, "tokens/s") for _, _, rate in rated],
        )


def _scatter(
    report: BenchmarkReport,
    points: Sequence[tuple[RunReport, Distribution, float]],
    *,
    title: str,
    y_title: str,
    legend: str,
    texts: Sequence[str],
) -> Element:
    places = [
        Place(
            _short_load(run),
            ttft.median,
            value,
            is_strong=run.index == report.best_run,
            is_doubtful=_is_doubtful(run, "ttft") or _is_doubtful(run, "price"),
        )
        for run, ttft, value in points
    ]
    hollow = " A warning touches hollow marks." if any(place.is_doubtful for place in places) else ""
    missing = _missing(report.runs, [run for run, _, _ in points])
    rows = [
        (describe_load(run), milliseconds(ttft.median), text)
        for (run, ttft, _), text in zip(points, texts, strict=True)
    ]
    figure = Figure(
        "price", title, f"{legend}{hollow}{missing}", ("Load", "First token, median", y_title), rows
    )
    return draw_scatter(figure, places, "median time to first token, ms", y_title)


def _is_doubtful(run: RunReport, place: doubts.Place) -> bool:
    return any(doubts.touches(warning, place) for warning in run.warnings)


def _missing(runs: Sequence[RunReport], shown: Sequence[RunReport]) -> str:
    left_out = [_short_load(run) for run in runs if run not in shown]
    return f" Not measured at {', '.join(left_out)}." if left_out else ""


def _figures_over_load(report: BenchmarkReport) -> Iterator[Element]:
    for kind, x_title in (("closed", "requests at a time"), ("open", "requests arriving per second")):
        runs = [run for run in _by_load(report.runs) if run.load == kind]
        if not runs:
            continue
        rates = [_throughput_spread(run) for run in runs]
        if any(rate is not None for rate in rates):
            yield _over_load(
                key=f"throughput-{kind}",
                title="Throughput over load",
                legend="Mark: output tokens per second of the steady state. Line: std over ten parts of it.",
                runs=runs,
                spreads=rates,
                axes=(x_title, "output tokens per second"),
                rows=[_throughput_row(run) for run in runs],
                columns=("Load", "tokens/s", "± std"),
            )
        for latency in _LATENCIES:
            values = [latency.read(run) for run in runs]
            spreads = [
                _latency_spread(each, is_doubtful=_is_doubtful(run, latency.place))
                for run, each in zip(runs, values, strict=True)
            ]
            if any(spread is not None for spread in spreads):
                yield _over_load(
                    key=f"{latency.place}-{kind}",
                    title=f"{latency.title} over load",
                    legend="Mark: median. Thick: median to p95, where 20 were answered. Thin: least to most.",
                    runs=runs,
                    spreads=spreads,
                    axes=(x_title, "ms"),
                    rows=[_latency_row(run, each) for run, each in zip(runs, values, strict=True)],
                    columns=("Load", "least", "median", "p95", "most"),
                    mark=latency.mark,
                )


def _over_load(
    *,
    key: str,
    title: str,
    legend: str,
    runs: Sequence[RunReport],
    spreads: Sequence[Spread | None],
    axes: tuple[str, str],
    rows: Sequence[Sequence[Child]],
    columns: Sequence[str],
    mark: int = 0,
) -> Element:
    hollow = " A warning touches hollow marks." if any(each and each.is_doubtful for each in spreads) else ""
    shown = [run for run, spread in zip(runs, spreads, strict=True) if spread is not None]
    figure = Figure(key, title, f"{legend}{hollow}{_missing(runs, shown)}", columns, rows)
    loads = [
        f"{run.request_rate_per_s:g}" if run.load == "open" else str(run.max_concurrency) for run in runs
    ]
    return draw_over_load(figure, loads, [Series("", spreads, mark)], *axes)


def _throughput_spread(run: RunReport) -> Spread | None:
    rate = _rate(run)
    if rate is None:
        return None
    windows = run.steady_output_throughput_windows_tokens_per_s or run.output_throughput_windows_tokens_per_s
    is_doubtful = _is_doubtful(run, "throughput") or _is_doubtful(run, "load")
    if windows is None or windows.std is None:
        return Spread(rate, is_doubtful=is_doubtful)
    return Spread(rate, max(rate - windows.std, 0.0), rate + windows.std, is_doubtful=is_doubtful)


def _throughput_row(run: RunReport) -> Sequence[Child]:
    windows = run.steady_output_throughput_windows_tokens_per_s or run.output_throughput_windows_tokens_per_s
    std = None if windows is None or _rate(run) is None else windows.std
    return (describe_load(run), amount(_rate(run), "").strip(), amount(std, "").strip())


def _latency_spread(values: Distribution | None, *, is_doubtful: bool) -> Spread | None:
    if values is None:
        return None
    return Spread(values.median, values.min, values.max, values.median, values.p95, is_doubtful)


def _latency_row(run: RunReport, values: Distribution | None) -> Sequence[Child]:
    if values is None:
        return (describe_load(run), *[NOT_MEASURED] * 4)
    every = (values.min, values.median, values.p95, values.max)
    return (describe_load(run), *(milliseconds(each) for each in every))


def _capacity_figure(report: BenchmarkReport) -> Iterator[Element]:
    capacity = report.capacity
    if capacity is None or all(each.good_ratio is None for each in capacity.loads):
        return
    spreads = [
        None
        if each.good_ratio is None
        else Spread(each.good_ratio * 100, _percent(each.good_ratio_low), _percent(each.good_ratio_high))
        for each in capacity.loads
    ]
    rows = [
        (
            f"{each.load:g}",
            ratio(each.good_ratio),
            ratio(each.good_ratio_low),
            ratio(each.good_ratio_high),
            each.verdict,
        )
        for each in capacity.loads
    ]
    limits = ", ".join(
        f"{name_} {milliseconds(limit)}"
        for name_, limit in capacity.limits.model_dump().items()
        if limit is not None
    )
    figure = Figure(
        "capacity",
        "Requests within the limits",
        f"Limits: {limits}. Line: 90 % interval. Dashed: the share that was asked for.",
        ("Load", "within", "from", "to", "verdict"),
        rows,
    )
    x_title = "requests at a time" if capacity.load == "concurrency" else "requests arriving per second"
    loads = [f"{each.load:g}" for each in capacity.loads]
    yield draw_over_load(
        figure, loads, [Series("", spreads, 2)], x_title, "% of requests", rule=capacity.good_ratio * 100
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else value * 100


# ---------------------------------------------------------------- over time


def _over_time(page: ReportPage) -> Iterator[Element]:
    if not page.has_records:
        yield element("p", None, "This benchmark has no file of single requests, so they cannot be shown.")
        return
    most = max(1, min(MOST_DOTS_OF_A_RUN, MOST_DOTS // max(1, len(page.report.runs))))
    unread = [describe_load(run) for run in page.report.runs if run.index not in page.dots]
    drawn = [
        _dots_figure(run, sample, most)
        for run in page.report.runs
        if (sample := page.dots.get(run.index)) is not None and sample.dots
    ]
    empty = [describe_load(run) for run in page.report.runs if _is_empty(page.dots.get(run.index))]
    if drawn:
        yield figures(drawn)
    if empty:
        yield element("p", None, f"No request was sent, or none can be shown, at: {'; '.join(empty)}.")
    if unread:
        yield element("p", None, f"The file of single requests could not be read of: {'; '.join(unread)}.")


def _is_empty(sample: DotSample | None) -> bool:
    return sample is not None and not sample.dots


def _dots_figure(run: RunReport, sample: DotSample, most: int) -> Element:
    by_status = {
        status: [dot for dot in sample.dots if dot.status == status]
        for status in ("completed", "failed", "cut_off")
    }
    completed, every = thinned(by_status["completed"], most)
    failed, every_failed = thinned(by_status["failed"], most // 4 or 1)
    cut_off, every_cut_off = thinned(by_status["cut_off"], most // 4 or 1)
    crosses = [(dot.sent_s, dot.until_end_ms) for dot in failed]
    rings = [(dot.sent_s, dot.until_end_ms) for dot in cut_off]
    panels = []
    if firsts := [(dot.sent_s, dot.ttft_ms) for dot in completed if dot.ttft_ms is not None]:
        panels.append(Panel("time to first token, ms", firsts, mark=1))
    ends = [(dot.sent_s, dot.e2el_ms) for dot in completed if dot.e2el_ms is not None]
    panels.append(Panel("whole answer, ms", ends, crosses, rings, mark=3))
    legend = ["A dot for each request, where it was sent."]
    legend += [f"Drawn is every {_ordinal(every)} answered request."] if every > 1 else []
    legend += [f"Crosses failed{_of(every_failed)}."] if crosses else []
    legend += [f"Rings were cut off{_of(every_cut_off)}."] if rings else []
    legend += [f"{sample.unsent_count:,} were never sent."] if sample.unsent_count else []
    if not sample.is_whole:
        legend.append("The file is too large to be read whole: parts of it, spread over the time, are shown.")
    last_s = max(dot.sent_s for dot in sample.dots)
    rows = [
        ("answered", f"{len(by_status['completed']):,}", f"{len(completed):,}"),
        ("failed", f"{len(by_status['failed']):,}", f"{len(failed):,}"),
        ("cut off", f"{len(by_status['cut_off']):,}", f"{len(cut_off):,}"),
    ]
    figure = Figure(
        f"dots-{run.index}", describe_load(run), " ".join(legend), ("Requests", "read", "drawn"), rows
    )
    return draw_over_time(figure, panels, max(last_s, run.duration_s, 0.001))


def _ordinal(count: int) -> str:
    if count % 100 in {11, 12, 13}:
        return f"{count}th"
    return f"{count}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th') }"


def _of(every: int) -> str:
    return f" (every {_ordinal(every)})" if every > 1 else ""


# ---------------------------------------------------------------- time and money


def _time_and_money(page: ReportPage) -> Iterator[Element]:
    report = page.report
    drawn = [*_ready_figure(report), *_bill_figure(page), *_prices_figure(report)]
    if drawn:
        yield figures(drawn)
    if report.token_cost is not None:
        yield element(
            "p",
            None,
            f"The tokens of this job cost {usd(report.token_cost.tokens_usd)}, with those of warm-up and judge.",
        )
    elif report.time_to_ready is None and report.cost is None:
        yield element(
            "p",
            None,
            "RUNE did not rent this server, so it knows neither how long it took to get it nor its cost.",
        )
    elif report.cost is None:
        yield element("p", None, "The cost of the machine is not known.")
    elif page.bill is None:
        yield element("p", None, "The receipt could not be read; the sums above are those of the report.")


def _ready_figure(report: BenchmarkReport) -> Iterator[Element]:
    ready = report.time_to_ready
    if ready is None:
        return
    bars, begin_ms = [], 0
    rows: list[tuple[str, str]] = []
    for key, label in _PHASES.items():
        took_ms: int | None = getattr(ready, f"{key}_ms")
        rows.append((label, "not needed" if took_ms is None else seconds(took_ms / 1000)))
        if took_ms is not None:
            bars.append(Bar(label, begin_ms, begin_ms + took_ms, seconds(took_ms / 1000)))
            begin_ms += took_ms
    rows.append(("Together", seconds(ready.total_ms / 1000)))
    unneeded = [label.lower() for label, text in rows if text == "not needed"]
    legend = f"{seconds(ready.total_ms / 1000)} from nothing to the first token."
    legend += f" Not needed: {', '.join(unneeded)}." if unneeded else ""
    if bars:
        yield draw_bars(Figure("ready", "Time to ready", legend, ("Phase", "took"), rows), bars)


def _bill_figure(page: ReportPage) -> Iterator[Element]:
    cost = page.report.cost
    if cost is None:
        return
    legend = (
        f"{usd(cost.billed_usd)} for {seconds(cost.billed_seconds)} at {usd(cost.price_usd_per_hour)} per hour; "
        f"{seconds(cost.busy_seconds)} of them at work."
    )
    if page.bill:
        sums: dict[str, int] = {}
        for line in page.bill:
            sums[line.phase] = sums.get(line.phase, 0) + line.micro_usd
        texts = {phase: usd(micro_usd / 1e6) if micro_usd else "$0" for phase, micro_usd in sums.items()}
        bars = [
            Bar(_PAID_FOR.get(phase, phase), 0.0, micro_usd / 1e6, texts[phase], 1)
            for phase, micro_usd in sums.items()
            if micro_usd > 0
        ]
        columns = ("Paid for", "USD")
        rows = [(_PAID_FOR.get(phase, phase), texts[phase]) for phase in sums]
    else:
        bars = [
            Bar("At work", 0.0, cost.busy_seconds, seconds(cost.busy_seconds), 1),
            Bar("Idle", 0.0, cost.idle_seconds, seconds(cost.idle_seconds), 1),
        ]
        columns = ("Billed time", "took")
        rows = [(bar.label, bar.text) for bar in bars]
    marks = doubts.at(page.report.warnings, "bill")
    drawn = draw_bars(Figure("bill", "The bill", legend, columns, rows), bars)
    drawn.extend(marks)
    yield drawn


def _prices_figure(report: BenchmarkReport) -> Iterator[Element]:
    cost = report.cost
    if cost is None:
        return
    known_prices = [
        (label, value)
        for label, value in (
            ("Steady state", cost.usd_per_million_output_tokens),
            ("This job", cost.usd_per_million_output_tokens_all_in),
        )
        if value is not None
    ]
    if known_prices:
        legend = (
            "Steady state: a machine that does nothing else, at the best point. This job: all that was paid, "
            "boot and idle time included."
        )
        rows = [(label, usd(value)) for label, value in known_prices]
        bars = [Bar(label, 0.0, value, usd(value), 2) for label, value in known_prices]
        yield draw_bars(
            Figure(
                "prices", "Price of 1 M output tokens", legend, ("Price", "USD per 1 M output tokens"), rows
            ),
            bars,
        )
