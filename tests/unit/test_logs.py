from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rune import logs
from rune.logs import FIELDS, JsonFormatter

SECRET = "sk-this-must-not-be-seen"
log = logging.getLogger("rune.test")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a function's log would hold, with the root logger as Lambda leaves it."""
    stream = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(stream)])
    loggers = [root, *(logging.getLogger(name) for name in ("rune", "api", "worker", "janitor"))]
    levels = [(logger, logger.level) for logger in loggers]
    logs.configure()
    yield stream
    for logger, level in levels:
        logger.setLevel(level)


def crash() -> None:
    raise ValueError(SECRET)


def written(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def without_time(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "time"}


def test_line_is_a_json_object_with_time_level_and_event(lines: io.StringIO) -> None:
    log.info("turn.committed")

    (line,) = written(lines)
    assert without_time(line) == {"level": "INFO", "event": "turn.committed"}
    assert line["time"].endswith("+00:00")


def test_line_carries_every_known_field(lines: io.StringIO) -> None:
    known = {name: f"value of {name}" for name in FIELDS}

    log.info("turn.committed", extra=known)

    assert without_time(written(lines)[0]) == {"level": "INFO", "event": "turn.committed", **known}


@pytest.mark.parametrize(
    "field", ["token", "authorization", "url", "question", "request_json", "body", "args_"]
)
def test_line_leaves_out_what_is_not_known(field: str, lines: io.StringIO) -> None:
    log.info("turn.committed", extra={field: SECRET, "seq": 2})

    assert without_time(written(lines)[0]) == {"level": "INFO", "event": "turn.committed", "seq": 2}


def test_line_tells_an_exceptions_type_and_frames_but_not_its_message(lines: io.StringIO) -> None:
    try:
        crash()
    except ValueError:
        log.exception("step.crashed")

    (line,) = written(lines)
    (told,) = line["exception"]
    assert told["type"] == "ValueError"
    assert told["frames"][-1].endswith(" crash")
    assert SECRET not in lines.getvalue()


def test_line_tells_causes_without_their_messages(lines: io.StringIO) -> None:
    try:
        try:
            crash()
        except ValueError as error:
            raise KeyError(SECRET) from error
    except KeyError:
        log.exception("step.crashed")

    (line,) = written(lines)
    assert [told["type"] for told in line["exception"]] == ["KeyError", "ValueError"]
    assert SECRET not in lines.getvalue()


def test_line_ends_when_causes_go_in_a_circle(lines: io.StringIO) -> None:
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first

    log.error("step.crashed", exc_info=first)

    assert len(written(lines)[0]["exception"]) == 5


def test_line_survives_an_exception_group(lines: io.StringIO) -> None:
    log.error("step.crashed", exc_info=ExceptionGroup(SECRET, [ValueError(SECRET)]))

    assert written(lines)[0]["exception"] == [{"type": "ExceptionGroup", "frames": []}]
    assert SECRET not in lines.getvalue()


@pytest.mark.parametrize("name", ["httpx", "httpcore", "botocore.credentials", "urllib3", "any"])
def test_libraries_are_silent_below_warnings(name: str, lines: io.StringIO) -> None:
    logging.getLogger(name).info("GET %s", f"https://host/?key={SECRET}")
    logging.getLogger(name).debug("authorization: %s", SECRET)

    assert lines.getvalue() == ""


def test_http_client_writes_no_url_and_no_header(lines: io.StringIO) -> None:
    async def call() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200))
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get(f"https://host/?key={SECRET}", headers={"authorization": SECRET})

    asyncio.run(call())

    assert lines.getvalue() == ""


@pytest.mark.parametrize("name", ["asyncio", "httpx", "botocore.retries", "root", "runely", "apiary"])
def test_line_tells_that_a_library_spoke_but_not_what(name: str, lines: io.StringIO) -> None:
    logging.getLogger(name).warning("bad header %s", SECRET)
    logging.getLogger(name).error(SECRET, extra={"url": SECRET})

    assert [(line["level"], line["event"]) for line in written(lines)] == [
        ("WARNING", f"library.{name}"),
        ("ERROR", f"library.{name}"),
    ]
    assert SECRET not in lines.getvalue()


def test_line_holds_no_secret_when_nobody_waited_for_a_task(lines: io.StringIO) -> None:
    async def forget_a_task() -> None:
        task = asyncio.create_task(asyncio.to_thread(crash), name=SECRET)
        await asyncio.wait({task})
        del task
        gc.collect()

    asyncio.run(forget_a_task())

    (line,) = written(lines)
    assert (line["level"], line["event"]) == ("ERROR", "library.asyncio")
    assert [told["type"] for told in line["exception"]] == ["ValueError"]
    assert SECRET not in lines.getvalue()


def test_line_holds_no_secret_when_a_library_warns_of_an_exception(lines: io.StringIO) -> None:
    try:
        crash()
    except ValueError:
        logging.getLogger("asyncio").warning("Task exception was never retrieved: %s", SECRET, exc_info=True)

    assert without_time(written(lines)[0])["event"] == "library.asyncio"
    assert SECRET not in lines.getvalue()


@pytest.mark.parametrize("name", ["rune.jobs.engine", "api.problems", "worker.handler", "janitor.handler"])
def test_own_modules_speak_from_info_on(name: str, lines: io.StringIO) -> None:
    logging.getLogger(name).debug("too.much")
    logging.getLogger(name).info("enough")

    assert [line["event"] for line in written(lines)] == ["enough"]


def test_configure_makes_a_handler_when_there_is_none(
    monkeypatch: pytest.MonkeyPatch, lines: io.StringIO
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])

    logs.configure()

    assert [type(handler.formatter) for handler in root.handlers] == [JsonFormatter]


def test_line_is_one_line_when_a_field_is_not(lines: io.StringIO) -> None:
    log.info("turn.dropped", extra={"reason": "a\nb\u2028c", "status": {"not": object}})

    assert lines.getvalue().count("\n") == 1
    assert written(lines)[0]["reason"] == "a\nb\u2028c"


def test_line_has_the_values_that_were_measured(lines: io.StringIO) -> None:
    log.info("rentals.measured", extra={"measured": {"MachinesAlive": 2, "DollarsPerHour": 0.75}})

    (line,) = written(lines)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Metrics"] == [
        {"Name": "MachinesAlive", "Unit": "Count"},
        {"Name": "DollarsPerHour", "Unit": "None"},
    ]
    assert (line["MachinesAlive"], line["DollarsPerHour"]) == (2, 0.75)
