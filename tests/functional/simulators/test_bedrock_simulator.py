"""The simulated Bedrock, called with AWS's own client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError
from urllib3.exceptions import ProtocolError

from local.simulators.bedrock import BedrockFault, BedrockFaultKind
from local.simulators.faults import FaultKind, StreamFaultKind
from local.simulators.request_log import Outcome
from tests.functional.simulators.bedrock_harness import (
    DEEPSEEK,
    FAST,
    HAIKU,
    LLAMA,
    REGION,
    SONNET,
    TITAN,
    credentials,
    simulate,
)
from tests.functional.simulators.hosting import Host

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

ONCE = Config(retries={"total_max_attempts": 1, "mode": "standard"})
TOOL: Any = {
    "toolSpec": {
        "name": "list_pods",
        "description": "Lists pods.",
        "inputSchema": {
            "json": {
                "type": "object",
                "properties": {"namespace": {"type": "string"}},
                "required": ["namespace"],
            }
        },
    }
}
NO_ARGUMENTS: Any = {"toolSpec": {"name": "now", "inputSchema": {"json": {"type": "object"}}}}


@pytest.fixture(scope="module", autouse=True)
def _credentials() -> Iterator[None]:
    with credentials():
        yield


@pytest.fixture(scope="module")
def runtime(host: Host) -> Iterator[BedrockRuntimeClient]:
    client = boto3.session.Session().client(
        "bedrock-runtime", region_name=REGION, endpoint_url=host.address, config=ONCE
    )
    yield client
    client.close()


@pytest.fixture(scope="module")
def bedrock(host: Host) -> Iterator[BedrockClient]:
    client = boto3.session.Session().client("bedrock", region_name=REGION, endpoint_url=host.address)
    yield client
    client.close()


def user(*texts: str) -> Any:  # noqa: ANN401  # as boto3 takes it
    return {"role": "user", "content": [{"text": text} for text in texts]}


def events(runtime: BedrockRuntimeClient, model: str = HAIKU, **changes: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    asked: dict[str, Any] = {"messages": [user("Why?")], **changes}
    with closing(runtime.converse_stream(modelId=model, **asked)["stream"]) as stream:
        return [dict(event) for event in stream]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [next(iter(event)) for event in found]


def test_lists_come_whole_and_in_pages(host: Host, bedrock: BedrockClient) -> None:
    simulate(host)

    models = bedrock.list_foundation_models(byOutputModality="TEXT")["modelSummaries"]
    pages = list(bedrock.get_paginator("list_inference_profiles").paginate())

    assert [model["modelId"] for model in models] == [HAIKU, SONNET, DEEPSEEK, LLAMA]
    assert models[0]["modelArn"] == f"arn:aws:bedrock:{REGION}::foundation-model/{HAIKU}"
    ids = [[profile["inferenceProfileId"] for profile in page["inferenceProfileSummaries"]] for page in pages]
    assert ids == [[f"us.{HAIKU}", f"us.{SONNET}"], [f"us.{DEEPSEEK}", f"us.{LLAMA}"]]


def test_stream_has_the_services_order(host: Host, runtime: BedrockRuntimeClient) -> None:
    simulate(host)

    found = events(runtime)

    assert names(found) == [
        "messageStart",
        *["contentBlockDelta"] * 20,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert found[-2] == {"messageStop": {"stopReason": "end_turn"}}
    usage = found[-1]["metadata"]["usage"]
    assert usage == {"inputTokens": 5, "outputTokens": 20, "totalTokens": 25}
    assert found[-1]["metadata"]["metrics"]["latencyMs"] >= 10


def test_whole_answer_is_the_streamed_one(host: Host, runtime: BedrockRuntimeClient) -> None:
    simulate(host, settings=replace(FAST, cached_tokens=3))
    streamed = events(runtime)

    whole = runtime.converse(modelId=HAIKU, messages=[user("Why?")])

    text = "".join(e["contentBlockDelta"]["delta"]["text"] for e in streamed if "contentBlockDelta" in e)
    assert whole["output"]["message"] == {"role": "assistant", "content": [{"text": text}]}
    assert whole["stopReason"] == "end_turn"
    assert whole["usage"] == {
        "inputTokens": 2,
        "outputTokens": 20,
        "totalTokens": 25,
        "cacheReadInputTokens": 3,
        "cacheWriteInputTokens": 0,
    }


def test_reasoning_comes_first_with_its_signature(host: Host, runtime: BedrockRuntimeClient) -> None:
    simulate(host)

    found = events(runtime, DEEPSEEK)
    content = runtime.converse(modelId=DEEPSEEK, messages=[user("Why?")])["output"]["message"]["content"]

    kinds = [
        (e["contentBlockDelta"]["contentBlockIndex"], *e["contentBlockDelta"]["delta"])
        for e in found
        if "contentBlockDelta" in e
    ]
    assert kinds == [(0, "reasoningContent")] * 7 + [(1, "text")] * 20
    assert [*content[0]] == ["reasoningContent"]
    assert content[0]["reasoningContent"]["reasoningText"]["signature"]
    assert found[-1]["metadata"]["usage"]["outputTokens"] == 26


def test_tools_are_called_and_their_results_answered(host: Host, runtime: BedrockRuntimeClient) -> None:
    simulate(host)
    tools: Any = {"tools": [TOOL, NO_ARGUMENTS]}

    called = runtime.converse(modelId=HAIKU, messages=[user("Why?")], toolConfig=tools)

    message = called["output"]["message"]
    uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    assert called["stopReason"] == "tool_use"
    assert [(use["name"], use["input"]) for use in uses] == [
        ("list_pods", {"namespace": "simulated"}),
        ("now", {}),
    ]
    results: Any = [
        {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "none"}]}} for use in uses
    ]
    conversation: Any = [user("Why?"), message, {"role": "user", "content": results}]
    answered = runtime.converse(modelId=HAIKU, messages=conversation, toolConfig=tools)
    assert answered["stopReason"] == "end_turn"


def test_forced_tool_comes_in_fragments_without_text(host: Host, runtime: BedrockRuntimeClient) -> None:
    simulate(host)

    found = events(runtime, toolConfig={"tools": [TOOL], "toolChoice": {"any": {}}})

    assert names(found)[:3] == ["messageStart", "contentBlockStart", "contentBlockDelta"]
    assert found[1]["contentBlockStart"]["start"]["toolUse"]["name"] == "list_pods"
    inputs = [e["contentBlockDelta"]["delta"]["toolUse"]["input"] for e in found if "contentBlockDelta" in e]
    assert len(inputs) > 2
    assert "".join(inputs) == '{"namespace": "simulated"}'


def test_limit_cuts_the_answer(host: Host, runtime: BedrockRuntimeClient) -> None:
    simulate(host)

    found = events(runtime, inferenceConfig={"maxTokens": 3})

    assert names(found).count("contentBlockDelta") == 3
    assert found[-2] == {"messageStop": {"stopReason": "max_tokens"}}
    assert found[-1]["metadata"]["usage"]["outputTokens"] == 3


@pytest.mark.alone
def test_pieces_come_at_their_scripted_times(host: Host, runtime: BedrockRuntimeClient) -> None:
    simulate(host, settings=replace(FAST, gaps_seconds=(0.2, 0.01), tokens_per_chunk=5))
    began = time.monotonic()

    arrivals = [
        time.monotonic() - began
        for event in runtime.converse_stream(modelId=HAIKU, messages=[user("Why?")])["stream"]
        if "contentBlockDelta" in event
    ]

    late = [came - due for came, due in zip(arrivals, (0.2, 0.21, 0.41, 0.42), strict=True)]
    assert min(late) >= 0
    assert max(late) < 0.15, "how late a busy machine may be"


ASSISTANT: Any = {"role": "assistant", "content": [{"text": "Because."}]}
CALL: Any = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "now", "input": {}}}]}
RESULT: Any = {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "1"}]}}]}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown model": ("unknown.model", {}, "The provided model identifier is invalid."),
    "embedding model": (TITAN, {}, "This action doesn't support the model"),
    "without its profile": (SONNET, {}, "with on-demand throughput isn’t supported"),  # noqa: RUF001  # AWS's
    "no user first": (HAIKU, {"messages": [ASSISTANT]}, "must start with a user message"),
    "twice the same": (HAIKU, {"messages": [user("a"), user("b")]}, "must alternate"),
    "blank": (HAIKU, {"messages": [user("a", " ")]}, "messages.0.content.1 is blank"),
    "too long": (LLAMA, {"messages": [user("word " * 9_000)]}, "Input is too long for requested model."),
    "too much wanted": (LLAMA, {"inferenceConfig": {"maxTokens": 4_096}}, "exceeds the model limit of 2048"),
    "no tools there": (LLAMA, {"toolConfig": {"tools": [TOOL]}}, "doesn't support tool use"),
    "tools not named": (HAIKU, {"messages": [user("a"), CALL, RESULT]}, "toolConfig field must be defined"),
    "result missing": (
        HAIKU,
        {"messages": [user("a"), CALL, user("b")], "toolConfig": {"tools": [TOOL]}},
        "Expected toolResult blocks at messages.2.content for the following Ids: t1",
    ),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
def test_request_is_refused_in_the_services_words(
    refused: tuple[str, dict[str, Any], str], host: Host, runtime: BedrockRuntimeClient
) -> None:
    simulate(host)
    model, changes, words = refused

    with pytest.raises(ClientError) as caught:
        events(runtime, model, **changes)

    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert words in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("model", [f"us.{SONNET}", f"arn:aws:bedrock:{REGION}::foundation-model/{HAIKU}"])
def test_profile_and_arn_name_a_model_too(model: str, host: Host, runtime: BedrockRuntimeClient) -> None:
    state = simulate(host)

    assert names(events(runtime, model))[-1] == "metadata"
    assert [(record.model, record.outcome) for record in state.requests.records] == [
        (model, Outcome.COMPLETED)
    ]


def test_unsigned_request_is_refused(host: Host) -> None:
    simulate(host)
    client = boto3.session.Session().client(
        "bedrock-runtime",
        region_name=REGION,
        endpoint_url=host.address,
        config=Config(signature_version=UNSIGNED),
    )

    with pytest.raises(ClientError, match="Missing Authentication Token") as caught:
        client.converse(modelId=HAIKU, messages=[user("Why?")])

    client.close()
    assert caught.value.response["Error"]["Code"] == "MissingAuthenticationTokenException"


# ---------------------------------------------------------------- faults


def test_refusal_has_the_code_of_the_services_header(host: Host, runtime: BedrockRuntimeClient) -> None:
    state = simulate(host, BedrockFault(kind=FaultKind.REFUSED, code="ModelNotReadyException"))

    with pytest.raises(ClientError) as caught:
        events(runtime)

    assert caught.value.response["Error"]["Code"] == "ModelNotReadyException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert names(events(runtime))[-1] == "metadata"
    outcomes = [record.outcome for record in state.requests.select(path="/converse-stream", model=HAIKU)]
    assert outcomes == [Outcome.REFUSED, Outcome.COMPLETED]


def test_exception_within_the_stream_begins_with_a_small_letter(
    host: Host, runtime: BedrockRuntimeClient
) -> None:
    simulate(
        host, BedrockFault(kind=StreamFaultKind.STREAM_ERROR, code="throttlingException", after_chunks=2)
    )
    with closing(runtime.converse_stream(modelId=HAIKU, messages=[user("Why?")])["stream"]) as opened:
        stream = iter(opened)
        taken = [next(iter(next(stream))) for _ in range(3)]
        with pytest.raises(EventStreamError) as caught:
            next(stream)

    assert caught.value.response["Error"]["Code"] == "throttlingException"
    assert taken == ["messageStart", "contentBlockDelta", "contentBlockDelta"]


@pytest.mark.parametrize(
    ("kind", "error"), [(FaultKind.DISCONNECTED, ProtocolError), (BedrockFaultKind.CORRUPT, ChecksumMismatch)]
)
def test_broken_stream_is_an_error_of_the_client(
    kind: FaultKind, error: type[Exception], host: Host, runtime: BedrockRuntimeClient
) -> None:
    simulate(host, BedrockFault(kind=kind))

    with pytest.raises(error):
        events(runtime)


def test_truncated_stream_is_none(host: Host, runtime: BedrockRuntimeClient) -> None:
    simulate(host, BedrockFault(kind=StreamFaultKind.TRUNCATED, after_chunks=3))

    assert names(events(runtime)) == ["messageStart", *["contentBlockDelta"] * 3]


def test_answer_ends_for_the_reason_that_was_scripted(host: Host, runtime: BedrockRuntimeClient) -> None:
    simulate(host, BedrockFault(kind=BedrockFaultKind.STOPPED, code="guardrail_intervened", after_chunks=2))

    found = events(runtime)

    assert names(found).count("contentBlockDelta") == 2
    assert found[-2] == {"messageStop": {"stopReason": "guardrail_intervened"}}
