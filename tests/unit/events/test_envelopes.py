import json

from rune.contracts.events import PingData
from rune.events.catalog import make_event
from rune.events.envelopes import bus_detail_json, webhook_body_json
from tests.builders import NOW

EVENT = make_event(
    "rune.ping", PingData(webhook_id="w1"), tenant="acme", subject_id="w1", sequence=3, occurred_at=NOW
)
METADATA = {
    "event_id": "evt_webhook_w1_3",
    "schema_version": "1.1",
    "tenant": "acme",
    "subject": "webhook:w1",
    "sequence": 3,
    "occurred_at": "2026-11-23T12:00:00Z",
}


def test_bus_detail_has_metadata_beside_the_data() -> None:
    assert json.loads(bus_detail_json(EVENT)) == {"metadata": METADATA, "data": {"webhook_id": "w1"}}


def test_webhook_body_has_type_and_time_first() -> None:
    body = webhook_body_json(EVENT)

    assert json.loads(body) == {
        "type": "rune.ping",
        "timestamp": "2026-11-23T12:00:00Z",
        "data": {"webhook_id": "w1"},
        "metadata": METADATA,
    }
    assert body.startswith('{"type":"rune.ping","timestamp":')
