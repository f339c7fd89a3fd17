"""AWS without a network: botocore signs, sends and parses as ever, but what it sends is answered here at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session

type Answers = Mapping[str, Callable[[], object]]
"""The JSON body by operation; AWS's JSON protocols name it in the header X-Amz-Target."""


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        yield self._content


@contextmanager
def answering(answers: Answers) -> Iterator[None]:
    """Answer every call that is sent in the block; one that has no answer raises KeyError."""

    def send(_session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        content = json.dumps(answers[operation]()).encode()
        headers = {"content-type": "application/x-amz-json-1.0", "content-length": str(len(content))}
        return AWSResponse(request.url, 200, headers, _Body(content))  # type: ignore[arg-type]  # any mapping

    with patch.object(URLLib3Session, "send", send):
        yield
