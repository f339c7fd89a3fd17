"""What the next version of RUNE may be: this one, with a member more in all that it stores and sends.

Put into a function's code and imported there before anything else of RUNE (`tests.e2e.deployed_versions`). Members
come with every document at any depth, as a field of the base of all documents; with every row that is written or
changed; and with every message.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

# Answers of the API stay as they are, because the tests' client reads them strictly.
import rune.contracts.records  # noqa: F401
from rune.aws import dynamodb_rows, sqs
from rune.contracts import document

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from rune.jobs.record import StepMessage
    from rune.storage.change import Change

MEMBER = "of_next_version"
VALUE: AttributeValueTypeDef = {"M": {"since": {"S": "2.0"}}}

_to_row, _to_expression, _encode = dynamodb_rows.to_row, dynamodb_rows.to_expression, sqs.encode


class NextDocument(document.Document):
    """The base of all documents, with one more member."""

    of_next_version: dict[str, int] = {"since": 2}  # noqa: RUF012  # pydantic copies it


def to_row(record: DataclassInstance) -> dict[str, AttributeValueTypeDef]:
    """Return a record's row with one more attribute."""
    return {**_to_row(record), MEMBER: VALUE}


def to_expression(change: Change, due_bucket: str | None = None) -> dynamodb_rows.Expression:
    """Return a change that also writes one more attribute."""
    expression = _to_expression(change, due_bucket)
    if expression.update.strip() == "SET":
        # It only requires something of a row.
        return expression
    return replace(
        expression,
        update=expression.update.replace("SET ", f"SET #{MEMBER} = :{MEMBER}, ", 1),
        names={**expression.names, f"#{MEMBER}": MEMBER},
        values={**expression.values, f":{MEMBER}": VALUE},
    )


def encode(message: StepMessage) -> str:
    """Return the body of a message with one more member."""
    return json.dumps({**json.loads(_encode(message)), MEMBER: {"since": 2}})


dynamodb_rows.to_row = to_row
dynamodb_rows.to_expression = to_expression
sqs.encode = encode
document.Document = NextDocument  # type: ignore[misc]  # for modules that are imported after this one
