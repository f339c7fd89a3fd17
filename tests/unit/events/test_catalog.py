import re

import pytest

from rune.contracts import events as documents
from rune.contracts.events import EventDocument, PingData
from rune.events.catalog import CATALOG, make_event
from rune.events.record import PublicEvent, Subject, SubjectKind
from tests.builders import NOW

ENVELOPES = {
    "EventDocument",
    "EventMetadata",
    "BusDetail",
    "WebhookBody",
    "JobEventData",
    "JobEndData",
    "RentalEventData",
    "ScheduleEventData",
}
"""Documents that are no type's data: envelopes and bases."""


def test_every_type_has_its_document_and_every_document_its_type() -> None:
    declared = {
        name
        for name, found in vars(documents).items()
        if isinstance(found, type) and issubclass(found, EventDocument)
    }

    assert sorted(declared - ENVELOPES) == sorted(each.document for each in CATALOG.values())


@pytest.mark.parametrize("name", CATALOG)
def test_type_is_named_after_its_subject(name: str) -> None:
    event_type = CATALOG[name]

    assert re.fullmatch(r"rune(\.[a-z_]+){1,2}", name)
    assert name == "rune.ping" or name.split(".")[1] == event_type.subject
    assert re.fullmatch(r"[A-Z].*\.", event_type.sentence)


def test_event_has_its_types_subject_and_plain_data() -> None:
    event = make_event(
        "rune.ping", PingData(webhook_id="w1"), tenant="acme", subject_id="w1", sequence=3, occurred_at=NOW
    )

    assert event == PublicEvent(
        "rune.ping", "acme", Subject(SubjectKind.WEBHOOK, "w1"), 3, NOW, {"webhook_id": "w1"}
    )


def test_event_is_refused_when_its_data_is_of_another_type() -> None:
    with pytest.raises(ValueError, match=r"rune\.job\.step says JobStepData, not PingData"):
        make_event(
            "rune.job.step",
            PingData(webhook_id="w1"),
            tenant="acme",
            subject_id="w1",
            sequence=3,
            occurred_at=NOW,
        )
