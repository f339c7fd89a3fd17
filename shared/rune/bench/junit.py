"""A comparison's checks as JUnit XML, which pipelines show: a suite for each benchmark, a case for each check.

Attributes and elements are those that both schemas in use allow: Ant's, which asks for most of them, and that of
Jenkins' xUnit plugin.
"""

from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

from rune.bench.showing import describe_load, printable
from rune.contracts import ComparedJob, Comparison, GateCheck

type UndecidedAs = Literal["skipped", "failure"]


def to_junit(comparison: Comparison, undecided_as: UndecidedAs = "skipped") -> str:
    """Return the checks as JUnit XML.

    Parameters
    ----------
    undecided_as
        What an undecided check is. Skipped cases do not stop a pipeline, and are shown by all readers.
    """
    root = Element("testsuites")
    for position, job in enumerate(comparison.jobs[1:]):
        _add_suite(root, position, job, comparison, undecided_as)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _add_suite(
    root: Element, position: int, job: ComparedJob, comparison: Comparison, undecided_as: UndecidedAs
) -> None:
    checks = [check for check in comparison.checks if check.job_id == job.job_id]
    counts = {
        outcome: sum(check.outcome == outcome for check in checks) for outcome in ("failed", "undecided")
    }
    failure_count = counts["failed"] + (counts["undecided"] if undecided_as == "failure" else 0)
    suite = SubElement(
        root,
        "testsuite",
        {
            "package": "rune",
            "id": str(position),
            "name": printable(f"{job.job_id} against {comparison.baseline or comparison.jobs[0].job_id}"),
            "timestamp": "" if job.finished_at is None else job.finished_at.strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": "rune",
            "tests": str(len(checks)),
            "failures": str(failure_count),
            "errors": "0",
            "skipped": str(counts["undecided"] if undecided_as == "skipped" else 0),
            "time": "0",
        },
    )
    properties = SubElement(suite, "properties")
    SubElement(properties, "property", {"name": "gate", "value": comparison.gate or ""})
    for check in checks:
        _add_case(suite, check, undecided_as)
    SubElement(suite, "system-out").text = "\n".join(map(printable, comparison.notes))
    SubElement(suite, "system-err")


def _add_case(suite: Element, check: GateCheck, undecided_as: UndecidedAs) -> None:
    bound = "at most" if check.better == "lower" else "at least"
    case = SubElement(
        suite,
        "testcase",
        {
            "name": f"{check.metric} {bound} {check.limit_ratio:g} times",
            "classname": describe_load(check),
            "time": "0",
        },
    )
    if check.outcome == "failed" or (check.outcome == "undecided" and undecided_as == "failure"):
        failure = SubElement(case, "failure", {"type": check.outcome, "message": check.reason})
        failure.text = check.reason
    elif check.outcome == "undecided":
        SubElement(case, "skipped", {"message": check.reason})
