"""`rune bench`: run benchmarks, show and compare what they measured."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urljoin

import httpx
import typer

from rune_client import ConflictError, NetworkError
from rune_client.cli import options
from rune_client.cli.amounts import age, dollars, duration
from rune_client.cli.comparisons import comparison
from rune_client.cli.exits import ExitCode
from rune_client.cli.invocation import command, of
from rune_client.cli.outcomes import UsageRefusedError, code_of_gate, code_of_job
from rune_client.cli.output import Columns, facts
from rune_client.cli.reports import job_table, report_page
from rune_client.cli.submitting import Manner, Submitter

app = typer.Typer(rich_markup_mode=None)
baselines = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.add_typer(baselines, name="baseline", help="Names that stand for a benchmark.")

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of a benchmark's job.")]


@app.command("run")
@command
def run(
    ctx: typer.Context,
    file: options.File = None,
    question: options.Question = None,
    model: options.Model = None,
    backend_url: options.BackendUrl = None,
    backend_type: options.BackendType = None,
    backend_credential: options.BackendCredential = None,
    backend_warmup: options.Warmup = None,
    backend_warmup_timeout: options.WarmupTimeout = None,
    context_tokens: Annotated[
        int | None, typer.Option(rich_help_panel=options.SERVER, help="Context to load with.")
    ] = None,
    vastai: options.Vastai = False,
    max_dph: options.MaxDph = None,
    min_dph: options.MinDph = None,
    reliability: options.Reliability = None,
    min_vram_mb: options.MinVram = None,
    keep_seconds: options.Keep = None,
    prompt_set: Annotated[
        str | None, typer.Option(help="chat, code, summary or synthetic.", rich_help_panel=options.WORKLOAD)
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="A prompt of yours; may be repeated.", rich_help_panel=options.WORKLOAD),
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option(
            metavar="1,4,16", help="Requests at a time, a point each.", rich_help_panel=options.WORKLOAD
        ),
    ] = None,
    request_rates: Annotated[
        str | None,
        typer.Option(
            metavar="0.5,2", help="Requests a second, a point each.", rich_help_panel=options.WORKLOAD
        ),
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep", help="Double the load until it no longer pays.", rich_help_panel=options.WORKLOAD
        ),
    ] = False,
    max_concurrency: Annotated[
        int | None, typer.Option(help="Where a sweep ends.", rich_help_panel=options.WORKLOAD)
    ] = None,
    repetitions: Annotated[
        int | None, typer.Option(help="How often each prompt is asked.", rich_help_panel=options.WORKLOAD)
    ] = None,
    output_tokens: Annotated[
        int | None, typer.Option(help="Longest answer.", rich_help_panel=options.WORKLOAD)
    ] = None,
    input_tokens: Annotated[
        int | None, typer.Option(help="Length of a synthetic prompt.", rich_help_panel=options.WORKLOAD)
    ] = None,
    temperature: Annotated[float | None, typer.Option(rich_help_panel=options.WORKLOAD)] = None,
    seed: Annotated[int | None, typer.Option(rich_help_panel=options.WORKLOAD)] = None,
    goodput: Annotated[
        str | None,
        typer.Option(
            metavar="ttft_ms=500", help="When a request counts as good.", rich_help_panel=options.WORKLOAD
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Try the model as an investigator on these cases, such as kubernetes-classics.",
            rich_help_panel=options.WORKLOAD,
        ),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(help="One of the suite's cases; may be repeated.", rich_help_panel=options.WORKLOAD),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(help="How often each case is investigated.", rich_help_panel=options.WORKLOAD),
    ] = None,
    name: options.Name = None,
    metadata: options.Metadata = None,
    timeout_seconds: options.AnswerTimeout = None,
    max_runtime_seconds: options.MaxRuntime = None,
    queue_timeout_seconds: options.QueueTimeout = None,
    max_cost: options.MaxCost = None,
    yes: options.Yes = False,
    plan: options.Plan = False,
    new: options.New = False,
    idempotency_key: options.IdempotencyKey = None,
    detach: options.Detach = False,
    wait: options.Wait = None,
) -> ExitCode:
    """Run a benchmark: one question, or a workload at several loads.

    With --vastai a machine is rented for it. What it would cost is shown first, and asked.
    """
    body = options.read_file(file)
    workload = options.changed(
        body.get("workload") or {},
        prompt_set=prompt_set,
        prompts=prompt or None,
        concurrency=options.numbers(concurrency, "--concurrency"),
        request_rates=options.numbers(request_rates, "--request-rates"),
        sweep=sweep or None,
        max_concurrency=max_concurrency,
        repetitions=repetitions,
        output_tokens=output_tokens,
        input_tokens=input_tokens,
        temperature=temperature,
        seed=seed,
        goodput=options.limits(goodput, "--goodput"),
    )
    body = options.changed(
        body,
        question=question,
        model=model,
        backend_url=backend_url,
        backend_type=backend_type,
        backend_credential=backend_credential,
        backend_warmup=backend_warmup,
        backend_warmup_timeout=backend_warmup_timeout,
        context_tokens=context_tokens,
        vastai=vastai or None,
        max_dph=max_dph,
        min_dph=min_dph,
        reliability=reliability,
        min_vram_mb=min_vram_mb,
        keep_seconds=keep_seconds,
        # A machine is kept only where that is said, and given back otherwise.
        vastai_stop_instance=False if keep_seconds is not None else None,
        workload=workload or None,
        suite=suite,
        cases=case or None,
        runs=runs,
        name=name,
        metadata=options.pairs(metadata, "--metadata"),
        timeout_seconds=timeout_seconds,
        max_runtime_seconds=max_runtime_seconds,
        queue_timeout_seconds=queue_timeout_seconds,
        max_cost_usd=max_cost,
    )
    rune = of(ctx)
    manner = Manner(
        is_yes=yes,
        is_plan=plan,
        is_new=new,
        is_detached=detach,
        wait_seconds=wait,
        idempotency_key=idempotency_key,
    )
    return Submitter(rune.connection, rune.output).run("benchmark", body, manner)


@app.command("list")
@command
def list_benchmarks(
    ctx: typer.Context,
    status: Annotated[
        str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Your name for them.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> ExitCode:
    """List your benchmarks, newest first."""
    rune = of(ctx)
    found = _first(rune.connection.client.benchmarks(status=status, name=name), limit)
    table = Columns("job", "status", "model", "cost", "age", "took", "backend", "name")
    for job in found:
        took = job.get("duration_ms")
        table.add(
            job["job_id"],
            job["status"],
            job.get("model"),
            dollars(job["cost_usd"]) if job.get("cost_usd") is not None else "",
            age(job.get("created_at")),
            duration(took / 1000) if took is not None else "",
            job.get("backend"),
            job.get("name"),
        )
    return rune.answer({"benchmarks": found}, table.table(rune.output.answers.width))


def _first(items: Any, limit: int) -> list[Any]:  # noqa: ANN401  # an iterator of documents
    return [item for item, _ in zip(items, range(limit), strict=False)]


@app.command("show")
@command
def show(
    ctx: typer.Context,
    job: Job,
    format: Annotated[  # noqa: A002  # the API's own name
        str, typer.Option(help="text, json, markdown, html, vllm or aiperf.")
    ] = "text",
    run: Annotated[int | None, typer.Option(help="Which point, for vllm and aiperf.")] = None,
) -> ExitCode:
    """Show a benchmark's report."""
    rune = of(ctx)
    client = rune.connection.client
    try:
        report = client.report(job, format="json" if format == "text" else format, run=run)
    except ConflictError as error:
        if error.code != "no_report":
            raise
        return _without_report(rune.output, client.job(job))
    if format == "text":
        return rune.answer(report, *report_page(report))
    if rune.output.is_json:
        rune.output.result(ExitCode.SUCCEEDED, report)
    else:
        rune.output.raw(report if isinstance(report, str) else json.dumps(report, indent=1))
    return ExitCode.SUCCEEDED


def _without_report(output: Any, job: Mapping[str, Any]) -> ExitCode:  # noqa: ANN401
    code = code_of_job(job)
    output.show(job_table(job))
    output.problem("There is no report: the benchmark has not succeeded.")
    output.result(code or ExitCode.FAILED, job)
    return code or ExitCode.FAILED


@app.command("open")
@command
def open_page(
    ctx: typer.Context,
    job: Job,
    compared_with: Annotated[
        list[str] | None, typer.Option(help="Another one, for a page with both.")
    ] = None,
    lifetime_seconds: Annotated[
        int | None, typer.Option(min=60, help="How long the link opens the page.")
    ] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the link, and open no browser.")] = False,
) -> ExitCode:
    """Open a benchmark's page in the browser, by a link that needs no token."""
    rune = of(ctx)
    link = rune.connection.client.benchmark_link(
        job, lifetime_seconds=lifetime_seconds, compared_with=compared_with or None
    )
    path = link.get("comparison_url") or link["url"]
    url = urljoin(rune.connection.base_url + "/", str(path).lstrip("/"))
    rune.output.show(url)
    if not print_only and not rune.output.is_json and not webbrowser.open(url):
        rune.output.note("no browser was found.")
    rune.output.result(ExitCode.SUCCEEDED, {**link, "opened_url": url})
    return ExitCode.SUCCEEDED


@app.command("compare")
@command
def compare(
    ctx: typer.Context,
    jobs: Annotated[
        list[str],
        typer.Argument(metavar="JOB…", help="Benchmarks; the first is what others are compared with."),
    ],
    baseline: Annotated[str | None, typer.Option(help="Compare with this baseline.")] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER:RATIO", help="A limit, such as ttft_ms.p95:1.10; may be repeated."),
    ] = None,
    undecided: Annotated[str, typer.Option(help="Whether an undecided gate fails: pass or fail.")] = "pass",
    threshold: Annotated[float | None, typer.Option(help="Ratio from which a difference counts.")] = None,
    format: Annotated[str, typer.Option(help="text, json, markdown, junit or html.")] = "text",  # noqa: A002
    output_file: Annotated[
        list[str] | None,
        typer.Option("--save", metavar="FORMAT=FILE", help="Write it to a file too; may be repeated."),
    ] = None,
) -> ExitCode:
    """Compare benchmarks, and fail by a gate.

    The exit code is 1 where a limit of --fail-on is surely broken. An undecided limit passes, unless
    --undecided fail.
    """
    if undecided not in {"pass", "fail"}:
        raise UsageRefusedError("--undecided is pass or fail.")
    rune = of(ctx)
    client = rune.connection.client

    def compared(form: str) -> Any:  # noqa: ANN401  # a document or a text
        return client.compare(
            jobs,
            baseline=baseline,
            format=form,
            threshold=threshold,
            fail_on=fail_on or None,
            undecided="failure" if undecided == "fail" and form == "junit" else None,
        )

    document = compared("json")
    for form, path in (options.pairs(output_file, "--save") or {}).items():
        _write(Path(path), document if form == "json" else compared(form))
    code = code_of_gate(document.get("gate"), is_undecided_failure=undecided == "fail")
    if format in {"text", "json"}:
        rune.output.show(*(comparison(document) if format == "text" else [json.dumps(document, indent=1)]))
    elif not rune.output.is_json:
        rune.output.raw(compared(format))
    if document.get("gate") == "undecided":
        rune.output.note("the gate is undecided: there were too few requests to be sure either way.")
    rune.output.result(code, document)
    return code


def _write(path: Path, content: object) -> None:
    text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
    try:
        path.write_text(text)
    except OSError as error:
        raise UsageRefusedError(f"{path} cannot be written: {error.strerror}.") from error


@app.command("records")
@command
def records(
    ctx: typer.Context,
    job: Job,
    folder: Annotated[
        Path | None, typer.Option("--download", help="Write the files into this folder.")
    ] = None,
) -> ExitCode:
    """List the files with a benchmark's single requests; each link lives for 15 minutes."""
    rune = of(ctx)
    found = rune.connection.client.records(job)
    if folder is None:
        return rune.answer(found, *([str(each["url"]) for each in found["records"]] or ["none"]))
    paths = [str(path) for path in _download(found["records"], folder)]
    return rune.answer({"files": paths}, *paths)


def _download(found: Iterable[Mapping[str, Any]], folder: Path) -> Iterator[Path]:
    """Write each file of records into the folder, and give its path. Links are signed: no token is sent."""
    folder.mkdir(parents=True, exist_ok=True)
    with httpx.Client(timeout=60.0) as http:
        for each in found:
            place = [str(each[key]) for key in ("run", "block") if each.get(key) is not None]
            path = folder / ("-".join([each["content"], *place]) + ".jsonl")
            try:
                with http.stream("GET", each["url"]) as response, path.open("wb") as file:
                    response.raise_for_status()
                    for chunk in response.iter_bytes():
                        file.write(chunk)
            except httpx.HTTPError as error:
                raise NetworkError(f"{path.name} could not be read ({type(error).__name__}).") from error
            yield path


@baselines.command("list")
@command
def list_baselines(ctx: typer.Context) -> ExitCode:
    """List the names, and what they stand for."""
    rune = of(ctx)
    found = rune.connection.client.baselines()
    table = Columns("name", "job", "model", "set")
    for each in found["baselines"]:
        table.add(each["name"], each["job_id"], each.get("model"), age(each["updated_at"]))
    return rune.answer(found, table.table(rune.output.answers.width))


@baselines.command("show")
@command
def show_baseline(ctx: typer.Context, name: str) -> ExitCode:
    """Show what a name stands for."""
    rune = of(ctx)
    found = rune.connection.client.baseline(name)
    return rune.answer(found, facts(list(found.items())))


@baselines.command("set")
@command
def set_baseline(
    ctx: typer.Context,
    name: str,
    job: Job,
    only_if_new: Annotated[bool, typer.Option("--only-if-new", help="Leave a name that is set.")] = False,
) -> ExitCode:
    """Let a name stand for a benchmark that succeeded."""
    rune = of(ctx)
    found = rune.connection.client.set_baseline(name, job, only_if_new=only_if_new)
    return rune.answer(found, f"baseline {name} is {job}")


@baselines.command("delete")
@command
def delete_baseline(ctx: typer.Context, name: str) -> ExitCode:
    """Remove a name."""
    rune = of(ctx)
    rune.connection.client.delete_baseline(name)
    return rune.answer({"name": name}, f"baseline {name} is removed")
