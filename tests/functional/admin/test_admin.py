"""The operator's tool on a simulated AWS: tenants, tokens, jobs, machines, dead letters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner, Result

from rune.aws.clusters import SsmClusters
from rune.aws.rental_store import DynamoRentalStore
from rune.aws.token_use_store import DynamoTokenUseStore
from rune.errors import ClusterNotUsableError
from rune.jobs.store import Submission
from rune.tenants.tokens import digest_of
from rune_admin import commands
from rune_admin.cluster_commands import cluster
from rune_admin.dead_letters import QUEUES, DeadLetters
from rune_admin.deployment import Deployment
from rune_admin.errors import OperatorError
from rune_admin.locks import Lock
from rune_admin.parameters import Documents
from rune_admin.stopping import Answer, stop_all
from rune_admin.tenant_commands import tenant
from rune_admin.token_commands import token
from tests.builders import JOB_ID, NOW, FakeClock, a_job, an_event
from tests.cloud import TABLE
from tests.parameters import Ssm
from tests.rental_builders import RENTAL_ID, a_running_rental
from tests.unit.kubernetes.kubeconfigs import kubeconfig

if TYPE_CHECKING:
    from tests.cloud import Cloud

PATH = "/rune/dev/tenants"
LOCK: Any = {"pk": {"S": "DOCUMENT#acme"}, "sk": {"S": "LOCK"}}
SECRET = "sk-a-key-that-nobody-sees"
A_HASH = f"sha256:{digest_of('x' * 40).hex()}"


@dataclass
class Tool:
    """The tool, for a stack that stands in for a deployed one."""

    outputs: dict[str, str] = field(default_factory=lambda: {"TableName": TABLE})
    parameters: dict[str, str] = field(default_factory=lambda: {"Stage": "dev"})
    formation: object = None

    def run(self, *arguments: str, given_text: str | None = None) -> Result:
        deployment = Deployment(boto3.Session(), self.outputs, self.parameters)
        deployment.__dict__["formation"] = self.formation
        context = commands.Context("rune-dev", as_json=arguments[0] == "--json")
        context.__dict__["deployment"] = deployment
        group = commands.cli
        group.add_command(cluster)
        group.add_command(tenant)
        group.add_command(token)
        given = [each for each in arguments if each != "--json"]
        named = group.commands[given[0]]
        return CliRunner().invoke(named, given[1:], obj=context, input=given_text)

    def say(self, *arguments: str) -> str:
        """Return what a command prints that succeeds."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def document(self, name: str = "acme") -> dict[str, Any]:
        found: Any = boto3.client("ssm").get_parameter(Name=f"{PATH}/{name}", WithDecryption=True)
        document: dict[str, Any] = json.loads(found["Parameter"]["Value"])
        return document


@pytest.fixture
def tool(cloud: Cloud) -> Tool:
    Ssm()
    return Tool()


def write(document: Mapping[str, object], name: str = "acme") -> None:
    Ssm.write(f"{PATH}/{name}", document)


def test_tenant_gets_a_document_once(tool: Tool) -> None:
    tool.say("tenant", "add", "acme", "--daily-budget-usd", "5", "--max-machines", "2")

    assert tool.document() == {"daily_budget_usd": 5.0, "max_machines": 2}
    again = tool.run("tenant", "add", "acme")
    assert (again.exit_code, "already" in again.output) == (1, True)
    assert tool.run("tenant", "add", "no/name").exit_code == 1


def test_token_is_told_once_and_stored_as_its_hash(tool: Tool) -> None:
    write({"weight": 2})

    told = tool.say("token", "create", "acme", "ci", "--scope", "read", "--contact", "ann@acme.example")

    made = told.splitlines()[0]
    assert tool.document() == {
        "weight": 2,
        "tokens": {
            "ci": {
                "hash": f"sha256:{digest_of(made).hex()}",
                "scopes": ["read"],
                "contact": "ann@acme.example",
            }
        },
    }
    shown = tool.say("tenant", "show", "acme") + tool.say("token", "list", "acme")
    assert made not in shown
    assert digest_of(made).hex() not in shown
    assert "read" in shown


def test_token_that_rune_would_not_understand_is_not_written(tool: Tool) -> None:
    write({})

    assert tool.run("token", "create", "acme", "a name").exit_code == 1
    assert tool.run("token", "create", "acme", "n", "--contact", "x" * 201).exit_code == 1
    assert tool.document() == {}


def test_new_token_stands_beside_the_old_one_until_that_expires(tool: Tool) -> None:
    write({"tokens": {"ci": {"hash": A_HASH, "scopes": ["submit"], "contact": "ann"}, "plain": A_HASH}})

    tool.say("token", "rotate", "acme", "ci", "ci-2", "--overlap-days", "3")
    tool.say("token", "rotate", "acme", "plain", "plain-2")

    tokens = tool.document()["tokens"]
    assert [*tokens] == ["ci", "plain", "ci-2", "plain-2"]
    assert "expires_at" in tokens["ci"]
    assert "expires_at" in tokens["plain"]
    assert (tokens["ci-2"]["scopes"], "expires_at" in tokens["ci-2"]) == (["submit"], False)
    assert tool.run("token", "rotate", "acme", "ci", "ci-2").exit_code == 1


def test_token_that_expires_is_rotated_to_one_that_expires(tool: Tool) -> None:
    write({"tokens": {"ci": {"hash": A_HASH, "expires_at": "2020-01-01T00:00:00+00:00"}}})

    refused = tool.run("token", "rotate", "acme", "ci", "ci-2")
    told = tool.say("token", "rotate", "acme", "ci", "ci-2", "--expires-in-days", "90")

    assert (refused.exit_code, "--expires-in-days" in refused.output) == (1, True)
    assert "ci is taken until 2020-01-01T00:00:00+00:00." in told
    assert tool.document()["tokens"]["ci-2"]["expires_at"] > "2026"


@pytest.mark.parametrize("budget", ["nan", "inf", "1e300"])
def test_tenant_is_not_added_with_what_rune_would_not_understand(budget: str, tool: Tool) -> None:
    assert tool.run("tenant", "add", "new", "--daily-budget-usd", budget).exit_code == 1
    assert tool.run("tenant", "show", "new").exit_code == 1


def test_file_that_is_no_document_is_refused_by_its_place(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "utf16.json").write_bytes("{}".encode("utf-16"))
    (tmp_path / "half.json").write_text('{"weight": 2,\n}')

    assert "not UTF-8" in tool.run("tenant", "check", str(tmp_path / "utf16.json")).output
    assert "line 1, column 13" in tool.run("tenant", "check", str(tmp_path / "half.json")).output


def test_token_is_revoked(tool: Tool) -> None:
    write({"tokens": {"ci": A_HASH, "ops": A_HASH}})

    tool.say("token", "revoke", "acme", "ci")

    assert tool.document() == {"tokens": {"ops": A_HASH}}
    gone = tool.run("token", "revoke", "acme", "ci")
    assert (gone.exit_code, "It has: ops" in gone.output) == (1, True)


def test_tokens_are_listed_with_the_day_of_their_last_use(tool: Tool, cloud: Cloud) -> None:
    write({"tokens": {"ci": A_HASH, "ops": f"sha256:{digest_of('y' * 40).hex()}"}})
    DynamoTokenUseStore(cloud.dynamodb, TABLE).note("acme", "ci", date(2026, 11, 23))

    listed = json.loads(tool.say("--json", "token", "list", "acme"))

    assert {each["name"]: each["used_on"] for each in listed} == {"ci": "2026-11-23", "ops": None}
    assert "2026-11-23" in tool.say("token", "list", "acme")


def test_tenant_is_suspended_and_resumed(tool: Tool) -> None:
    write({"weight": 2})

    tool.say("tenant", "suspend", "acme")
    assert tool.document() == {"suspended": True, "weight": 2}
    assert "True" in tool.say("tenant", "list")
    tool.say("tenant", "resume", "acme")
    assert tool.document() == {"weight": 2}


def test_no_secret_of_a_document_is_shown(tool: Tool) -> None:
    plain = "a-token-in-plain-where-a-hash-should-be"
    write(
        {
            "tokens": {"a": A_HASH, "b": plain, "c": {"hash": plain, "more": plain}},
            "credentials": {"lab": {"api_key": SECRET, "url": "https://llm.example"}},
            "agents": {"holmes": {"base_url": "https://holmes.example", "api_key": [SECRET]}},
        }
    )

    for shown in (tool.say("tenant", "show", "acme"), tool.say("--json", "tenant", "show", "acme")):
        assert "https://llm.example" in shown
        assert SECRET not in shown
        assert plain not in shown
        assert A_HASH not in shown


def test_document_is_checked_by_the_code_that_the_functions_read_it_by(tool: Tool, tmp_path: Path) -> None:
    file = tmp_path / "acme.json"
    file.write_text(json.dumps({"weight": 0, "tokens": {"ci": "sha512:1"}, "colour": "red"}))

    checked = tool.run("tenant", "check", str(file))

    assert checked.exit_code == 1
    assert [line.split(":")[1].strip() for line in checked.output.splitlines()[:-1]] == [
        "…",
        "tokens/1",
        "weight",
    ]
    assert tool.run("tenant", "put", "acme", str(file)).exit_code == 1
    tool.say("tenant", "put", "acme", str(file), "--force")
    assert tool.document()["colour"] == "red"


def test_later_document_names_the_version_that_it_was_made_of(tool: Tool, tmp_path: Path) -> None:
    file = tmp_path / "acme.json"
    file.write_text('{"weight": 3}')
    tool.say("tenant", "put", "acme", str(file))

    assert tool.run("tenant", "put", "acme", str(file)).exit_code == 1
    write({"weight": 9})
    assert tool.run("tenant", "put", "acme", str(file), "--version", "1").exit_code == 1
    assert tool.document() == {"weight": 9}
    tool.say("tenant", "put", "acme", str(file), "--version", "2")
    assert tool.document() == {"weight": 3}


def test_document_that_a_parameter_cannot_hold_is_refused(tool: Tool, tmp_path: Path) -> None:
    file = tmp_path / "acme.json"
    file.write_text(json.dumps({"templates": ["é" * 250] * 20}))

    result = tool.run("tenant", "put", "acme", str(file))

    assert (result.exit_code, "a parameter holds 8192" in result.output) == (1, True)


def documents(cloud: Cloud) -> Documents:
    return Documents(boto3.client("ssm"), PATH, Lock(cloud.dynamodb, TABLE))


def test_change_that_another_tool_made_at_the_same_moment_is_kept(tool: Tool, cloud: Cloud) -> None:
    write({"weight": 1})
    others = iter([{"weight": 5}, {"weight": 6, "max_machines": 1}])

    def change(document: dict[str, object]) -> dict[str, object]:
        other = next(others, None)
        if other is not None:
            write(other)
        return {**document, "suspended": True}

    assert documents(cloud).change("acme", change) == {"weight": 6, "max_machines": 1, "suspended": True}
    assert tool.document() == {"weight": 6, "max_machines": 1, "suspended": True}


def test_second_run_is_refused_while_the_first_changes_the_document(tool: Tool, cloud: Cloud) -> None:
    write({"weight": 1})
    seen: list[int] = []

    def change(document: dict[str, object]) -> dict[str, object]:
        seen.append(tool.run("tenant", "suspend", "acme").exit_code)
        return document

    documents(cloud).change("acme", change)

    assert seen == [1]
    tool.say("tenant", "suspend", "acme")


def test_lock_of_a_run_that_was_killed_ends_by_itself(cloud: Cloud) -> None:
    clock = [1000.0]
    lock = Lock(cloud.dynamodb, TABLE, lambda: clock[0])
    with lock.held("acme"):
        with pytest.raises(OperatorError), lock.held("acme"):
            pass
        clock[0] += 61
        with lock.held("acme"):
            held = cloud.dynamodb.get_item(TableName=TABLE, Key=LOCK)["Item"]

    assert held["expires_at"] == {"N": "1121"}


def test_jobs_and_machines_of_all_tenants_are_listed(tool: Tool, cloud: Cloud) -> None:
    cloud.store.submit(Submission(a_job(), "{}", an_event()))
    slot = {"pk": "PLACES", "sk": "SLOT#0000", "job_id": JOB_ID, "tenant": "default"}
    cloud.dynamodb.put_item(TableName=TABLE, Item={name: {"S": value} for name, value in slot.items()})
    DynamoRentalStore(cloud.dynamodb, TABLE).open(a_running_rental())

    jobs = json.loads(tool.say("--json", "jobs"))
    machines = json.loads(tool.say("--json", "machines"))

    assert [(job["tenant"], job["job_id"], job["status"]) for job in jobs] == [("default", JOB_ID, "queued")]
    assert [machine["rental_id"] for machine in machines] == [RENTAL_ID]
    assert machines[0]["usd_per_hour"] > 0
    assert "USD an hour together" in tool.say("machines")
    assert tool.say("usage", "default").splitlines()[0].startswith("tenant")


PARAMETERS = {"Stage": "dev", "VastaiImage": "ollama/ollama:0.33.3", "ApiTokens": "****"}
"""As AWS tells them: one is masked, so it must not be sent back."""


def formation_that_ends_with(status: str) -> Any:  # noqa: ANN401  # its stubs are not among the requirements
    """Return CloudFormation that takes the one update that is right, and of which this comes."""
    formation = boto3.client("cloudformation")
    stubber = Stubber(formation)
    asked = {
        "StackName": "rune-dev",
        "UsePreviousTemplate": True,
        "Parameters": [
            {"ParameterKey": "VastaiImage", "ParameterValue": "ollama/ollama:0.34.0"},
            {"ParameterKey": "Stage", "UsePreviousValue": True},
            {"ParameterKey": "ApiTokens", "UsePreviousValue": True},
        ],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    stack = {"StackName": "rune-dev", "CreationTime": NOW, "StackStatus": status}
    stubber.add_response("update_stack", {}, asked)
    stubber.add_response("describe_stacks", {"Stacks": [stack]})
    stubber.activate()
    return formation


def test_image_is_moved_and_all_other_parameters_are_kept(tool: Tool) -> None:
    tool.parameters = PARAMETERS
    tool.formation = formation_that_ends_with("UPDATE_COMPLETE")

    assert tool.say("pins", "--move", "ollama/ollama:0.34.0").split() == [
        "VastaiImage",
        "ollama/ollama:0.34.0",
    ]


def test_image_that_is_not_taken_is_told(tool: Tool) -> None:
    tool.parameters = PARAMETERS
    tool.formation = formation_that_ends_with("UPDATE_ROLLBACK_COMPLETE")

    result = tool.run("pins", "--move", "ollama/ollama:0.34.0")

    assert (result.exit_code, "describe-stack-events" in result.output) == (1, True)


def test_image_that_is_there_already_is_shown_and_nothing_is_updated(tool: Tool) -> None:
    tool.parameters = PARAMETERS

    assert "--move" in tool.say("pins")
    shown = json.loads(tool.say("--json", "pins", "--move", "ollama/ollama:0.33.3"))
    assert shown == {"VastaiImage": "ollama/ollama:0.33.3"}


def test_dead_letters_are_counted_and_shown(tool: Tool, cloud: Cloud) -> None:
    url = cloud.sqs.create_queue(QueueName="given-up")["QueueUrl"]
    reason: Any = {"code": {"DataType": "String", "StringValue": "tenant_unknown"}}
    cloud.sqs.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes=reason)
    tool.outputs["IntakeFailureQueueUrl"] = url

    assert json.loads(tool.say("--json", "dead-letters", "list")) == [{"queue": "queue", "messages": 1}]
    assert json.loads(tool.say("dead-letters", "look", "queue"))[0]["code"] == "tenant_unknown"
    assert tool.run("dead-letters", "look", "bus").exit_code == 1


@pytest.mark.parametrize(
    ("queue", "destination"), [("steps", None), ("queue", "arn:aws:sqs:us-east-1:1:IntakeQueueUrl")]
)
@pytest.mark.usefixtures("tool")
def test_dead_letters_go_back_to_where_they_came_from(queue: str, destination: str | None) -> None:
    sqs = boto3.client("sqs")
    names = [name for pair in QUEUES.values() for name in pair if name is not None]
    urls = {name: f"https://sqs.us-east-1.amazonaws.com/1/{name}" for name in names}
    source = QUEUES[queue][0]
    stubber = Stubber(sqs)
    asked = {"SourceArn": f"arn:aws:sqs:us-east-1:1:{source}"}
    for name in (source, *([] if destination is None else ["IntakeQueueUrl"])):
        stubber.add_response(
            "get_queue_attributes",
            {"Attributes": {"QueueArn": f"arn:aws:sqs:us-east-1:1:{name}"}},
            {"QueueUrl": urls[name], "AttributeNames": ["QueueArn"]},
        )
    if destination is not None:
        asked["DestinationArn"] = destination
    stubber.add_response("start_message_move_task", {"TaskHandle": "t"}, asked)

    with stubber:
        DeadLetters(sqs, urls).move_back(queue)

    stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("answers", "wait_seconds", "is_done", "call_count"),
    [
        ([{"done": True}], 100, True, 1),
        ([{"done": False}, {"done": True}], 100, True, 2),
        ([{"done": False}] * 50, 12, False, 4),
        ([{"done": False}], 0, False, 1),
    ],
    ids=["at once", "later", "never", "without waiting"],
)
def test_stop_is_asked_for_until_nothing_is_left_or_the_time_is_over(
    answers: list[Answer], wait_seconds: float, call_count: int, *, is_done: bool
) -> None:
    clock = [0.0]
    told: list[Answer] = []
    given = iter(answers)

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    call: Callable[[], Answer] = lambda: next(given)  # noqa: E731  # a line says enough
    last = stop_all(call, told.append, wait_seconds, now=lambda: clock[0], sleep=sleep)

    assert (last["done"], len(told)) == (is_done, call_count)


def test_cluster_is_stored_apart_from_the_document_that_names_it(tool: Tool) -> None:
    write({"weight": 2})

    done = tool.run("cluster", "put", "acme", "prod", "--namespace", "shop", given_text=kubeconfig())

    assert (done.exit_code, "canary" in done.output) == (0, False)
    assert tool.document() == {"weight": 2, "clusters": {"prod": {"namespaces": ["shop"]}}}
    found = SsmClusters(lambda: boto3.client("ssm"), PATH, FakeClock()).find("acme", "prod")
    assert (found.server, found.token) == ("https://k.example:6443", "canary-token-0123456789")


def test_cluster_is_removed_with_its_credentials(tool: Tool) -> None:
    write({"weight": 2})
    tool.run("cluster", "put", "acme", "prod", given_text=kubeconfig())

    tool.say("cluster", "remove", "acme", "prod")

    assert tool.document() == {"weight": 2, "clusters": {}}
    with pytest.raises(ClusterNotUsableError):
        SsmClusters(lambda: boto3.client("ssm"), PATH, FakeClock()).find("acme", "prod")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("acme", "prod"), "no json, but canary"),
        (("acme", "prod"), kubeconfig(user={"exec": {"command": "canary"}})),
        (("acme", "prod"), kubeconfig(extensions=["x" * 9000])),
        (("acme", "pr/od"), kubeconfig()),
        (("acme", "prod", "--namespace", "a/b"), kubeconfig()),
        (("nobody", "prod"), kubeconfig()),
    ],
)
def test_cluster_that_cannot_be_used_is_not_written(
    tool: Tool, arguments: tuple[str, ...], text: str
) -> None:
    write({"weight": 2})

    refused = tool.run("cluster", "put", *arguments, given_text=text)

    assert (refused.exit_code, "canary" in refused.output) == (1, False)
    assert tool.document() == {"weight": 2}
    with pytest.raises(ClusterNotUsableError):
        SsmClusters(lambda: boto3.client("ssm"), PATH, FakeClock()).find("acme", "prod")
