"""AWS without a network: botocore signs, sends and parses as ever, but what it sends is answered here at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.httpsession import URLLib3Session

type Answers = Mapping[str, object]
"""The JSON body by operation; AWS's JSON protocols name it in the header X-Amz-Target. `BatchGetItem` may have more
rows than a call asks for, which are left out."""


def _asked_for(answer: Any, request: Any) -> object:  # noqa: ANN401  # JSON
    ((table, wanted),) = request["RequestItems"].items()
    rows = [
        row for row in answer["Responses"][table] if any(key.items() <= row.items() for key in wanted["Keys"])
    ]
    return {**answer, "Responses": {table: rows}}


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        yield self._content


@contextmanager
def answering(answers: Answers) -> Iterator[list[str]]:
    """Answer every call that is sent in the block; one that has no answer raises KeyError.

    Gives the operations that were sent, in order.
    """
    sent: list[str] = []
    send_over_network = URLLib3Session.send

    def send(_session: URLLib3Session, request: AWSRequest | AWSPreparedRequest) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        sent.append(operation)
        answer = answers[operation]
        if operation == "BatchGetItem":
            answer = _asked_for(answer, json.loads(request.body))  # type: ignore[arg-type]  # no stream
        content = json.dumps(answer).encode()
        headers = {"content-type": "application/x-amz-json-1.0", "content-length": str(len(content))}
        return AWSResponse(request.url, 200, headers, _Body(content))  # type: ignore[arg-type]  # any mapping

    # Not by unittest.mock: a cold start is measured here, and would find the modules loaded that mock loads.
    URLLib3Session.send = send  # type: ignore[assignment, method-assign]
    try:
        yield sent
    finally:
        URLLib3Session.send = send_over_network  # type: ignore[method-assign]
