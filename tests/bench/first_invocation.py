"""The program that `cold_starts` runs in a fresh interpreter: import a handler, and hand it its first event.

The argument names the handler's module. Standard input is a JSON object with the `event` and the `answers` of AWS
by operation, each of which the handler must ask for. The last line printed is a JSON object with the processor time
of this process, in milliseconds, after the import (`init`) and after the first answer (`invoked`). Replacing the
network between them is not counted.
"""

import json
import sys
import time
from importlib import import_module
from pathlib import Path


class Context:
    """What Lambda tells of an invocation, as far as the handlers ask.

    So little time is left that a worker takes one turn and sends the message of the next. Later turns are no part
    of a cold start.
    """

    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until Lambda ends the invocation."""
        return 50_000


def main() -> None:
    """Print the processor time of init, and of init with the first invocation."""
    given = json.load(sys.stdin)
    handle = import_module(sys.argv[1]).handle
    init_ms = time.process_time() * 1000
    # Not before: it imports botocore.
    sys.path.append(str(Path(__file__).parent))
    with import_module("wire").answering(given["answers"]) as sent:
        started_ms = time.process_time() * 1000
        answer = handle(given["event"], Context())
        ended_ms = time.process_time() * 1000
    if isinstance(answer, dict) and answer.get("statusCode", 200) >= 400:
        raise SystemExit(f"{sys.argv[1]} answered {answer['statusCode']}: {answer['body']}")
    if missing := given["answers"].keys() - set(sent):
        raise SystemExit(f"{sys.argv[1]} did not ask for {sorted(missing)}.")
    print(json.dumps({"init": init_ms, "invoked": init_ms + ended_ms - started_ms}))  # noqa: T201


if __name__ == "__main__":
    main()
