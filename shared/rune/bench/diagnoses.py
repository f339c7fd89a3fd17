"""Whether an investigation found what is wrong: set overlap of causes and entities, without a judge.

Others let a model judge (HolmesGPT, ITBench), or look for texts (k8s-ai-bench). A judge costs, drifts with its own
version, and lets an answer win that names everything. A closed list of causes with the objects that must be changed
needs none, as Cloud-OpsBench (2026) has it; abstaining, red herrings and what was invented are counted beside.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rune.contracts.diagnoses import DiagnosisOutcome
from rune.kubernetes.causes import Cause, ClusterStatus
from rune.kubernetes.findings import Finding, Report
from rune.kubernetes.recorded.case import ExpectedFinding, Trap

_FOLDED_KINDS = frozenset({"pod", "replicaset"})
_NAMESPACED_PARTS = 3

_NOTHING_WRONG = frozenset({ClusterStatus.HEALTHY, ClusterStatus.RECOVERED})
"""Taken for each other: both answer that nothing is wrong now."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The right answer to a case.

    Attributes
    ----------
    owners
        By entity, the one that its ownerReference names.
    """

    status: ClusterStatus
    findings: tuple[ExpectedFinding, ...] = ()
    red_herrings: tuple[Trap, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)

    def fold(self, entity: str) -> str:
        """Return the workload that a pod or ReplicaSet belongs to, and any other entity as it is, in one form."""
        owners = {entity_key(owned): entity_key(owner) for owned, owner in self.owners.items()}
        key = entity_key(entity)
        seen = {key}
        while key.split("/")[0] in _FOLDED_KINDS and key in owners:
            owner = owners[key]
            # A static pod belongs to its node, which is no workload.
            if owner in seen or owner.startswith("node/"):
                break
            seen.add(owner)
            key = owner
        return key


@dataclass(frozen=True, slots=True)
class Grade:
    """What an investigation was right and wrong about; each text is `cause at entity`.

    Attributes
    ----------
    invented
        Findings that match nothing expected.
    trapped
        Findings that name a red herring; one that matches nothing expected is invented too.
    """

    outcome: DiagnosisOutcome
    found: tuple[str, ...]
    missed: tuple[str, ...]
    invented: tuple[str, ...] = ()
    trapped: tuple[str, ...] = ()
    unproven_count: int = 0


def entity_key(entity: str) -> str:
    """Return `kind/namespace/name` in the form that is compared: the kind in small letters, blanks away.

    `Node/node-b` and `Node//node-b` are the same.
    """
    parts = [part.strip() for part in entity.strip().split("/", _NAMESPACED_PARTS - 1)]
    if len(parts) < _NAMESPACED_PARTS:
        parts = [parts[0], "", *parts[1:]]
    return "/".join([parts[0].lower(), *parts[1:]])


def grade(expected: Expected, report: Report | None) -> Grade:
    """Return what a report is right and wrong about.

    Parameters
    ----------
    report
        None where the investigation ended without one.
    """
    if report is None or _gave_up(report):
        missed = tuple(_told(each.cause, each.entities) for each in expected.findings)
        return Grade("no_answer", (), missed)
    matched = [(each, _matches(expected, each)) for each in report.findings]
    hit = {index for _, indices in matched for index in indices}
    found = tuple(_told(each.cause, each.entities) for i, each in enumerate(expected.findings) if i in hit)
    missed = tuple(
        _told(each.cause, each.entities) for i, each in enumerate(expected.findings) if i not in hit
    )
    invented = tuple(_told(each.cause, each.entities) for each, indices in matched if not indices)
    trapped = tuple(
        _told(each.cause, each.entities) for each in report.findings if _is_trapped(expected, each)
    )
    return Grade(
        outcome=_outcome(expected, report, found, missed, invented, trapped),
        found=found,
        missed=missed,
        invented=invented,
        trapped=trapped,
        unproven_count=sum(not each.is_supported for each in report.findings),
    )


def _gave_up(report: Report) -> bool:
    """Return whether a bound spoke, and not the model: what ran out of turns has not found that none can tell."""
    return report.bound is not None and report.status is ClusterStatus.UNDETERMINED and not report.findings


def _matches(expected: Expected, finding: Finding) -> frozenset[int]:
    """Return which expected findings this one names."""
    named = _folded(expected, finding.entities)
    return frozenset(
        index
        for index, each in enumerate(expected.findings)
        if finding.cause in _causes_of(each) and named & _folded(expected, each.entities)
    )


def _is_trapped(expected: Expected, finding: Finding) -> bool:
    """Return whether a finding names a red herring as a cause.

    A case may expect the herring's cause elsewhere, or another cause at the herring's entity. Then only both
    together are the herring.
    """
    named = _folded(expected, finding.entities)
    right_causes = {cause for each in expected.findings for cause in _causes_of(each)}
    right_entities = {entity for each in expected.findings for entity in _folded(expected, each.entities)}
    for herring in expected.red_herrings:
        entity = expected.fold(herring.entity)
        has_cause, has_entity = finding.cause is herring.cause, entity in named
        if has_cause and (has_entity or herring.cause not in right_causes):
            return True
        if has_entity and entity not in right_entities:
            return True
    return False


def _outcome(  # noqa: PLR0917  # the sets that decide it
    expected: Expected,
    report: Report,
    found: tuple[str, ...],
    missed: tuple[str, ...],
    invented: tuple[str, ...],
    trapped: tuple[str, ...],
) -> DiagnosisOutcome:
    is_right_status = report.status is expected.status or {report.status, expected.status} <= _NOTHING_WRONG
    if is_right_status and not (missed or invented or trapped):
        return "correct"
    if found and not trapped:
        return "partial"
    if report.status is ClusterStatus.UNDETERMINED and not report.findings:
        return "abstained"
    return "wrong"


def _causes_of(finding: ExpectedFinding) -> frozenset[Cause]:
    return frozenset({finding.cause, *finding.accept})


def _folded(expected: Expected, entities: Iterable[str]) -> frozenset[str]:
    return frozenset(expected.fold(each) for each in entities)


def _told(cause: Cause, entities: Iterable[str]) -> str:
    return f"{cause.value} at {', '.join(entities) or 'nothing'}"
