"""What must hold in template.yaml beyond what linters know."""

import json
import os
import re
import subprocess
import tomllib
from datetime import timedelta
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # no stubs beside it; used for this one file

from local.settings import ROOT
from rune.aws.wiring import CONFIG, PROMPT_CONFIG
from rune.contracts.requests import JobTimes
from rune.contracts.workloads import MAX_CONCURRENCY, most_concurrency
from rune.events.outbox import OutboxState, advance
from rune.jobs.lifecycle import redispatch
from rune.jobs.plan import LANE_TIME_LIMIT_SECONDS, Lane
from rune.jobs.record import DEFAULT_MAX_RUNTIME_SECONDS
from rune.jobs.transitions import LONGEST_DELAY_SECONDS
from rune.logs import NAMESPACE
from rune.services.intake.ways import Way
from rune.settings import LoadLane
from rune.storage.change import apply
from rune.tenants.document import MAX_RUNTIME_SECONDS
from rune.tenants.entries import NOT_UNDERSTOOD_METRIC
from tests.builders import NOW, a_job
from tests.spending import FRESH

type Block = dict[str, Any]

VAST_VARIABLES = {"VAST_API_URL", "VAST_API_KEY_PARAMETER"}
TENANT_VARIABLES = {"RUNE_TENANTS_PATH", "RUNE_BEDROCK_ACCESS", "RUNE_BEDROCK_URL"}
WORKER_VARIABLES = (
    VAST_VARIABLES
    | TENANT_VARIABLES
    | {
        "VAST_IMAGE",
        "RUNE_STAGE",
        "RUNE_LANE",
        "RUNE_TABLE",
        "RUNE_BUCKET",
        "RUNE_MONEY_QUEUE_URL",
        "RUNE_INFERENCE_QUEUE_URL",
        "RUNE_LOAD_QUEUE_URL",
        "RUNE_LOAD_MEMORY_MB",
        "RUNE_NOTICE_QUEUE_URL",
        "RUNE_DEAD_LETTER_QUEUE_URL",
        "RUNE_ALLOWED_NETWORKS",
        "RUNE_RUNNING_JOBS",
        "RUNE_SPENDING_LIMITS",
    }
)
SUBMIT_VARIABLES = TENANT_VARIABLES | {
    "RUNE_STAGE",
    "RUNE_TABLE",
    "RUNE_BUCKET",
    "RUNE_MONEY_QUEUE_URL",
    "RUNE_INFERENCE_QUEUE_URL",
    "RUNE_LOAD_MEMORY_MB",
    "RUNE_NOTICE_QUEUE_URL",
    "RUNE_ALLOWED_NETWORKS",
    "RUNE_CAN_RENT",
    "RUNE_RETENTION_DAYS",
    "RUNE_QUEUE_TIMEOUT_SECONDS",
    "RUNE_MAX_RUNTIME_SECONDS",
    "RUNE_MAX_COST_USD",
    "RUNE_SPENDING_LIMITS",
    "RUNE_WEBHOOKS",
    "RUNE_RUNNING_JOBS",
    "RUNE_INTAKE_TENANT",
}
VARIABLES = {
    "TriggerFunction": SUBMIT_VARIABLES
    | {"RUNE_ACCOUNT", "RUNE_BUS_TENANTS", "RUNE_INTAKE_TOPIC", "RUNE_INBOX"}
    | {
        f"RUNE_{way.upper()}_{queue}_URL"
        for way in Way
        if way is not Way.INVOKE
        for queue in ("QUEUE", "FAILURE_QUEUE")
    },
    "InvokeFunction": SUBMIT_VARIABLES | {"RUNE_INVOKE_FAILURE_QUEUE_URL"},
    "ApiFunction": TENANT_VARIABLES
    | {
        "RUNE_STAGE",
        "RUNE_TABLE",
        "RUNE_BUCKET",
        "RUNE_MONEY_QUEUE_URL",
        "RUNE_INFERENCE_QUEUE_URL",
        "RUNE_LOAD_MEMORY_MB",
        "RUNE_NOTICE_QUEUE_URL",
        "RUNE_ALLOWED_NETWORKS",
        "RUNE_API_TOKENS",
        "RUNE_API_AUTH_DISABLED",
        "RUNE_TENANT_POLLS_PER_SECOND",
        "RUNE_TENANT_SUBMITS_PER_SECOND",
        "RUNE_API_DOCS",
        "RUNE_CORS_ALLOWED_ORIGINS",
        "RUNE_CAN_RENT",
        "RUNE_SIGNING_KEY_PARAMETER",
        "RUNE_RETENTION_DAYS",
        "RUNE_QUEUE_TIMEOUT_SECONDS",
        "RUNE_MAX_RUNTIME_SECONDS",
        "RUNE_MAX_COST_USD",
        "RUNE_SPENDING_LIMITS",
        "RUNE_WEBHOOKS",
        "RUNE_RUNNING_JOBS",
    },
    "MoneyWorkerFunction": WORKER_VARIABLES,
    "InferenceWorkerFunction": WORKER_VARIABLES,
    "LoadWorkerFunction": WORKER_VARIABLES,
    "JanitorFunction": VAST_VARIABLES
    | {"RUNE_STAGE", "RUNE_TABLE", "RUNE_MONEY_QUEUE_URL", "RUNE_INFERENCE_QUEUE_URL", "RUNE_RUNNING_JOBS"}
    | {"RUNE_NOTICE_QUEUE_URL", "RUNE_LOAD_QUEUE_URL", "RUNE_LOAD_MEMORY_MB"}
    | {"RUNE_BUCKET", "RUNE_ALLOWED_NETWORKS", "RUNE_TENANTS_PATH", "RUNE_BEDROCK_ACCESS"}
    | {"RUNE_RETENTION_DAYS", "RUNE_QUEUE_TIMEOUT_SECONDS", "RUNE_MAX_RUNTIME_SECONDS"}
    | {"RUNE_MAX_COST_USD", "RUNE_SPENDING_LIMITS", "RUNE_WEBHOOKS"},
    "NotifierFunction": {
        "RUNE_STAGE",
        "RUNE_TABLE",
        "RUNE_NOTICE_QUEUE_URL",
        "RUNE_DEAD_LETTER_QUEUE_URL",
        "RUNE_EVENT_BUS",
        "RUNE_WORKFLOWS",
        "RUNE_BUCKET",
        "RUNE_ARCHIVE_BUCKET",
        "RUNE_SIGNING_KEY_PARAMETER",
        "RUNE_ALLOWED_NETWORKS",
        "RUNE_RETENTION_DAYS",
    },
}
WRITE_LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
LIST_BEDROCK = {"bedrock:ListFoundationModels", "bedrock:ListInferenceProfiles"}
CALL_BEDROCK = {"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"}
WORKER_ACTIONS = WRITE_LOGS | {
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:SendMessage",
    "dynamodb:BatchGetItem",
    "dynamodb:Query",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "s3:GetObject",
    "s3:PutObject",
    "ssm:GetParameter",
    "kms:Decrypt",
}
ANSWER_TASKS = {"states:SendTaskSuccess", "states:SendTaskFailure", "states:SendTaskHeartbeat"}
SUBMIT_ACTIONS = WRITE_LOGS | {
    "dynamodb:BatchGetItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
    "sqs:SendMessage",
    "s3:PutObject",
    "ssm:GetParameter",
    "kms:Decrypt",
}
ACTIONS = {
    "ApiRole": WRITE_LOGS
    | {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:GetItem", "dynamodb:BatchGetItem"}
    | {"dynamodb:ConditionCheckItem", "dynamodb:Query", "sqs:SendMessage"}
    | {"s3:PutObject", "s3:GetObject", "ssm:GetParameter", "kms:Decrypt"}
    | LIST_BEDROCK,
    "MoneyWorkerRole": WORKER_ACTIONS | LIST_BEDROCK | {"dynamodb:ConditionCheckItem"},
    "InferenceWorkerRole": WORKER_ACTIONS | LIST_BEDROCK | CALL_BEDROCK,
    "LoadWorkerRole": WORKER_ACTIONS,
    "JanitorRole": WRITE_LOGS
    | {"dynamodb:Query", "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}
    | {"dynamodb:ConditionCheckItem", "sqs:SendMessage", "sqs:GetQueueAttributes"}
    | {"ssm:GetParameter", "kms:Decrypt", "s3:PutObject"},
    "NotifierRole": WRITE_LOGS
    | {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:SendMessage"}
    | {"dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"}
    | {"events:PutEvents", "ssm:GetParameter", "kms:Decrypt"}
    | {"s3:GetObject", "s3:PutObject"}
    | ANSWER_TASKS,
    "TriggerRole": SUBMIT_ACTIONS
    | ANSWER_TASKS
    | {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"}
    | {"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"},
    "InvokeRole": SUBMIT_ACTIONS,
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # untyped base
    """Reads CloudFormation's short forms as their long ones."""


def _intrinsic(loader: Any, suffix: str, node: Any) -> Block:  # noqa: ANN401 - PyYAML's own
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    else:
        value = loader.construct_sequence(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)
TEMPLATE: Block = yaml.load((ROOT / "template.yaml").read_text(), Loader=_Loader)  # noqa: S506 - a SafeLoader
RESOURCES: dict[str, Block] = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, Block]:
    return {name: block["Properties"] for name, block in RESOURCES.items() if block["Type"] == kind}


def statements(policies: list[Block]) -> list[Block]:
    """Return all statements, also those that only a deployment with the setting has."""
    return [
        option
        for policy in policies
        for entry in policy["PolicyDocument"]["Statement"]
        for option in entry.get("Fn::If", ["", entry])[1:]
        if option != {"Ref": "AWS::NoValue"}
    ]


def listed(value: Any) -> list[Any]:  # noqa: ANN401 - one or many, as CloudFormation allows
    return value if isinstance(value, list) else [value]


FUNCTIONS = of_type("AWS::Serverless::Function")
QUEUES = of_type("AWS::SQS::Queue")
ROLES = of_type("AWS::IAM::Role")
LOG_GROUPS = of_type("AWS::Logs::LogGroup")


INTAKES = frozenset(name for name, block in RESOURCES.items() if "Condition" in block)
"""What a deployment has only where a parameter turns it on; `test_template_intakes.py` looks at the ways in."""


@pytest.mark.parametrize("name", sorted(QUEUES.keys() - {"DeadLetterQueue"} - INTAKES))
def test_queue_gives_up_to_the_dead_letter_queue_after_five_receives(name: str) -> None:
    redrive = QUEUES[name]["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    assert redrive["maxReceiveCount"] >= 5


@pytest.mark.parametrize("name", sorted(QUEUES.keys() - {"DeadLetterQueue"} - INTAKES))
def test_dead_letters_outlive_the_queue_that_they_come_from(name: str) -> None:
    kept = QUEUES["DeadLetterQueue"]["MessageRetentionPeriod"]
    assert kept == 1209600
    assert kept > QUEUES[name]["MessageRetentionPeriod"]


@pytest.mark.parametrize("name", QUEUES)
def test_queue_is_encrypted(name: str) -> None:
    assert QUEUES[name]["SqsManagedSseEnabled"] is True


def test_tls_is_demanded_for_every_queue_and_bucket() -> None:
    queues = RESOURCES["QueuePolicy"]["Properties"]
    buckets = of_type("AWS::S3::BucketPolicy").values()
    assert queues["Queues"] == [{"Ref": name} for name in QUEUES if name not in INTAKES]
    assert [each["Bucket"] for each in buckets] == [{"Ref": name} for name in of_type("AWS::S3::Bucket")]
    for statement in (each["PolicyDocument"]["Statement"][0] for each in (queues, *buckets)):
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(
    ("function", "queue"),
    [
        ("MoneyWorkerFunction", "MoneyQueue"),
        ("InferenceWorkerFunction", "InferenceQueue"),
        ("LoadWorkerFunction", "LoadQueue"),
    ],
)
def test_lane_takes_one_message_at_a_time_and_leaves_room_for_six_tries(function: str, queue: str) -> None:
    (event,) = FUNCTIONS[function]["Events"].values()
    source = event["Properties"]
    assert source["Queue"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert source["BatchSize"] == 1
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "MaximumConcurrency" in source["ScalingConfig"]
    assert QUEUES[queue]["VisibilityTimeout"] >= 6 * FUNCTIONS[function]["Timeout"]


def test_notices_come_ten_at_a_time_and_leave_room_for_six_tries() -> None:
    (event,) = FUNCTIONS["NotifierFunction"]["Events"].values()
    source = event["Properties"]
    assert source["Queue"] == {"Fn::GetAtt": ["NoticeQueue", "Arn"]}
    assert source["BatchSize"] == 10
    assert source["MaximumBatchingWindowInSeconds"] == 1
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert QUEUES["NoticeQueue"]["VisibilityTimeout"] >= 6 * FUNCTIONS["NotifierFunction"]["Timeout"]


@pytest.mark.parametrize("function", ["MoneyWorkerFunction", "InferenceWorkerFunction", "LoadWorkerFunction"])
def test_worker_may_go_round_as_often_as_a_job_has_steps(function: str) -> None:
    assert FUNCTIONS[function]["RecursiveLoop"] == "Allow"


# New accounts have fewer than the usual 1000: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
EXECUTIONS_OF_A_YOUNG_ACCOUNT = 10
EXECUTIONS_OF_THE_JANITOR = 1
LEFT_TO_THE_API = 2
LANES = {"MoneyWorkerFunction": "MoneyConcurrency"} | dict.fromkeys(
    ("InferenceWorkerFunction", "LoadWorkerFunction"), "InferenceConcurrency"
)
QUEUED = {**LANES, "NotifierFunction": "NoticeConcurrency"}
"""How many executions each function takes that a queue calls."""


def test_lanes_leave_the_api_two_executions_of_a_young_account() -> None:
    concurrency = {
        name: event["Properties"]["ScalingConfig"]["MaximumConcurrency"]["Ref"]
        for name, function in FUNCTIONS.items()
        for event in function.get("Events", {}).values()
        if event["Type"] == "SQS"
    }
    # A running job is in the inference lane or in the load lane.
    in_lanes = sum(TEMPLATE["Parameters"][name]["Default"] for name in set(concurrency.values()))

    assert concurrency == QUEUED
    assert FUNCTIONS["JanitorFunction"]["Events"]["Tick"]["Type"] == "Schedule"
    left = EXECUTIONS_OF_A_YOUNG_ACCOUNT - in_lanes - EXECUTIONS_OF_THE_JANITOR
    assert left >= LEFT_TO_THE_API


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"NotifierFunction"}))
def test_as_many_jobs_run_as_the_inference_lane_has_executions(name: str) -> None:
    variables = FUNCTIONS[name]["Environment"]["Variables"]

    assert variables["RUNE_RUNNING_JOBS"] == {"Ref": "InferenceConcurrency"}


@pytest.mark.parametrize(
    ("parameter", "variable"),
    [
        ("QueueTimeoutSeconds", "RUNE_QUEUE_TIMEOUT_SECONDS"),
        ("MaxRuntimeSeconds", "RUNE_MAX_RUNTIME_SECONDS"),
        ("MaxCostUsd", "RUNE_MAX_COST_USD"),
    ],
)
def test_api_is_told_each_limit_of_a_job(parameter: str, variable: str) -> None:
    for function in ("ApiFunction", "TriggerFunction", "InvokeFunction"):
        assert FUNCTIONS[function]["Environment"]["Variables"][variable] == {"Ref": parameter}
    assert (
        TEMPLATE["Parameters"][parameter]["Default"]
        == {
            "QueueTimeoutSeconds": 86_400,
            "MaxRuntimeSeconds": DEFAULT_MAX_RUNTIME_SECONDS,
            "MaxCostUsd": 10,
        }[parameter]
    )
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert [parameter in group["Parameters"] for group in groups].count(True) == 1


def test_each_function_that_takes_or_does_jobs_is_told_what_may_be_spent() -> None:
    takers = ("ApiFunction", "TriggerFunction", "InvokeFunction", "JanitorFunction")
    for function in (*takers, "MoneyWorkerFunction", "InferenceWorkerFunction"):
        given = FUNCTIONS[function]["Environment"]["Variables"]["RUNE_SPENDING_LIMITS"]["Fn::Sub"]
        defaults = re.sub(
            r"\$\{(\w+)\}", lambda found: str(TEMPLATE["Parameters"][found[1]]["Default"]), given
        )
        assert defaults == FRESH


def test_most_that_a_request_may_ask_for_is_the_most_that_the_deployment_may_allow() -> None:
    longest = {
        name: parameter["MaxValue"]
        for name, parameter in TEMPLATE["Parameters"].items()
        if name in ("QueueTimeoutSeconds", "MaxRuntimeSeconds")
    }
    asked = {
        name: next(rule.le for rule in field.metadata if hasattr(rule, "le"))
        for name, field in JobTimes.model_fields.items()
    }

    assert longest["QueueTimeoutSeconds"] == asked["queue_timeout_seconds"]
    assert longest["MaxRuntimeSeconds"] == asked["max_runtime_seconds"] == MAX_RUNTIME_SECONDS


INDEXES = {"due": ("due_bucket", "due_at"), "waiting": ("tenant", "waiting_since")}


@pytest.mark.parametrize(("name", "attributes"), INDEXES.items())
def test_index_is_sparse_and_holds_keys_alone(name: str, attributes: tuple[str, str]) -> None:
    table = RESOURCES["Table"]["Properties"]
    (index,) = [each for each in table["GlobalSecondaryIndexes"] if each["IndexName"] == name]
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}

    assert index["KeySchema"] == [
        {"AttributeName": attributes[0], "KeyType": "HASH"},
        {"AttributeName": attributes[1], "KeyType": "RANGE"},
    ]
    assert [types[attribute] for attribute in attributes] == ["S", "N"]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_reserves_concurrency(name: str) -> None:
    assert "ReservedConcurrentExecutions" not in FUNCTIONS[name]


def test_table_forgets_by_itself_and_survives_everything_else() -> None:
    table = RESOURCES["Table"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"


def test_every_function_has_a_role_of_its_own() -> None:
    roles = [function["Role"]["Fn::GetAtt"] for function in FUNCTIONS.values()]
    assert sorted(roles) == sorted([name, "Arn"] for name in ROLES)


@pytest.mark.parametrize("name", ROLES)
def test_role_has_exactly_the_actions_of_its_function(name: str) -> None:
    granted = [action for entry in statements(ROLES[name]["Policies"]) for action in listed(entry["Action"])]
    assert set(granted) == ACTIONS[name]
    assert "ManagedPolicyArns" not in ROLES[name]


TABLE = {"Fn::GetAtt": ["Table", "Arn"]}
WAITING = {"Fn::Sub": "${Table.Arn}/index/waiting"}
DUE = {"Fn::Sub": "${Table.Arn}/index/due"}
QUERIED = {
    "ApiRole": [TABLE, WAITING],
    "MoneyWorkerRole": [TABLE, WAITING],
    "InferenceWorkerRole": [TABLE, WAITING],
    "LoadWorkerRole": [TABLE, WAITING],
    "JanitorRole": [DUE, WAITING, TABLE],
    "NotifierRole": [TABLE, DUE],
    "TriggerRole": [TABLE, WAITING],
    "InvokeRole": [TABLE, WAITING],
}
LANE_QUEUES = [{"Fn::GetAtt": [name, "Arn"]} for name in ("MoneyQueue", "InferenceQueue")]
ITS_LOAD_QUEUE = {"Fn::GetAtt": ["LoadQueue", "Arn"]}
LOAD_QUEUE = {"Fn::If": ["HasLoadLane", ITS_LOAD_QUEUE, {"Ref": "AWS::NoValue"}]}
NOTICE_QUEUE, DEAD_LETTER_QUEUE = (
    {"Fn::GetAtt": [f"{name}Queue", "Arn"]} for name in ("Notice", "DeadLetter")
)
FROM_WORKERS = [*LANE_QUEUES, LOAD_QUEUE, NOTICE_QUEUE, DEAD_LETTER_QUEUE]


def resources_of(role: str, action: str) -> list[Block]:
    """Return what a role may do an action on, whatever the deployment is given."""
    return [
        resource
        for entry in statements(ROLES[role]["Policies"])
        if action in listed(entry["Action"])
        for resource in listed(entry["Resource"])
    ]


@pytest.mark.parametrize(("role", "queried"), QUERIED.items())
def test_role_queries_the_table_and_the_indexes_that_its_function_needs(
    role: str, queried: list[Block]
) -> None:
    found = resources_of(role, "dynamodb:Query")

    assert sorted(found, key=str) == sorted(queried, key=str)


@pytest.mark.parametrize("role", ROLES)
def test_role_writes_to_the_table_alone(role: str) -> None:
    actions = [name for name in ("Put", "Update") if f"dynamodb:{name}Item" in ACTIONS[role]]

    assert actions
    assert [resources_of(role, f"dynamodb:{name}Item") for name in actions] == [[TABLE] for _ in actions]


@pytest.mark.parametrize(
    ("role", "sent_to"),
    [
        # No job begins in the load lane.
        ("ApiRole", [*LANE_QUEUES, NOTICE_QUEUE]),
        ("JanitorRole", [*LANE_QUEUES, LOAD_QUEUE, NOTICE_QUEUE]),
        ("MoneyWorkerRole", FROM_WORKERS),
        ("InferenceWorkerRole", FROM_WORKERS),
        # The lane is there whenever its role is.
        ("LoadWorkerRole", [*LANE_QUEUES, ITS_LOAD_QUEUE, NOTICE_QUEUE, DEAD_LETTER_QUEUE]),
    ],
)
def test_role_sends_into_lanes_and_notices_and_nowhere_else(role: str, sent_to: list[Block]) -> None:
    assert resources_of(role, "sqs:SendMessage") == sent_to


def test_janitor_may_ask_how_many_messages_wait_in_each_lane() -> None:
    found = resources_of("JanitorRole", "sqs:GetQueueAttributes")

    assert found == [*LANE_QUEUES, LOAD_QUEUE]


def test_notifier_publishes_on_the_deployments_own_bus_alone() -> None:
    found = resources_of("NotifierRole", "events:PutEvents")

    assert found == [{"Fn::GetAtt": ["EventBus", "Arn"]}]
    assert FUNCTIONS["NotifierFunction"]["Environment"]["Variables"]["RUNE_EVENT_BUS"] == {"Ref": "EventBus"}
    assert TEMPLATE["Outputs"]["EventBusName"]["Value"] == {"Ref": "EventBus"}


def test_notifier_alone_writes_the_archive_and_nobody_reads_it() -> None:
    written = {name: resources_of(name, "s3:PutObject") for name in ROLES}
    everything = str({name: statements(role["Policies"]) for name, role in ROLES.items()})

    assert written["NotifierRole"] == [{"Fn::Sub": "${ArchiveBucket.Arn}/archive/*"}]
    assert everything.count("ArchiveBucket") == 1
    assert statement_under("HasArchive", "NotifierRole", "WriteArchive")
    assert statement_under("HasArchive", "NotifierRole", "ReadRequestsAndResults")["Resource"] == [
        {"Fn::Sub": f"${{Bucket.Arn}}/{folder}/*"} for folder in ("requests", "results")
    ]


@pytest.mark.parametrize("name", ROLES)
def test_role_names_every_resource(name: str) -> None:
    for entry in statements(ROLES[name]["Policies"]):
        # What is denied may be wide.
        if entry["Sid"] in {"ListBedrock", "CallBedrock"} or entry["Effect"] == "Deny":
            continue
        for resource in listed(entry["Resource"]):
            assert isinstance(resource, dict), f"{entry['Sid']} of {name} names {resource}"
            pattern = str(listed(resource.get("Fn::Sub", ""))[0])
            folders = (
                "/requests/*",
                "/results/*",
                "/archive/*",
                "/inbox/*",
                "/outbox/*",
                ":parameter${Path}/*",
            )
            assert "*" not in pattern or pattern.endswith(folders), f"{entry['Sid']} of {name}"


def statement_under(condition: str, role: str, sid: str) -> Block:
    """Return a statement that only a deployment with the condition has."""
    (policy,) = ROLES[role]["Policies"]
    choices = [entry["Fn::If"] for entry in policy["PolicyDocument"]["Statement"] if "Fn::If" in entry]
    ((name, statement, otherwise),) = [choice for choice in choices if choice[1]["Sid"] == sid]
    assert (name, otherwise) == (condition, {"Ref": "AWS::NoValue"})
    found: Block = statement
    return found


@pytest.mark.parametrize(
    ("role", "sid"),
    [
        ("ApiRole", "ListBedrock"),
        ("MoneyWorkerRole", "ListBedrock"),
        ("InferenceWorkerRole", "ListBedrock"),
        ("InferenceWorkerRole", "CallBedrock"),
    ],
)
def test_role_may_use_bedrock_only_where_the_operator_said_so(role: str, sid: str) -> None:
    statement = statement_under("HasBedrock", role, sid)

    assert TEMPLATE["Conditions"]["HasBedrock"] == {"Fn::Equals": [{"Ref": "BedrockAccess"}, "true"]}
    assert TEMPLATE["Parameters"]["BedrockAccess"]["Default"] == "false"
    assert {action.partition(":")[0] for action in statement["Action"]} == {"bedrock"}


def test_only_models_and_profiles_are_called() -> None:
    resources = statement_under("HasBedrock", "InferenceWorkerRole", "CallBedrock")["Resource"]

    assert [resource["Fn::Sub"].rpartition(":")[2] for resource in resources] == [
        "foundation-model/*",
        "inference-profile/*",
        "application-inference-profile/*",
    ]


@pytest.mark.parametrize("role", ["MoneyWorkerRole", "InferenceWorkerRole", "LoadWorkerRole"])
def test_worker_reads_back_what_workers_wrote(role: str) -> None:
    (reading,) = [entry for entry in statements(ROLES[role]["Policies"]) if entry["Action"] == "s3:GetObject"]

    assert reading["Resource"] == [
        {"Fn::Sub": f"${{Bucket.Arn}}/{folder}/*"} for folder in ("requests", "results")
    ]


@pytest.mark.parametrize("role", ["ApiRole", "JanitorRole"])
def test_large_requests_are_written_by_those_who_post_jobs(role: str) -> None:
    assert resources_of(role, "s3:PutObject") == [{"Fn::Sub": "${Bucket.Arn}/requests/*"}]


@pytest.mark.parametrize(
    "variable",
    [
        "RUNE_RETENTION_DAYS",
        "RUNE_QUEUE_TIMEOUT_SECONDS",
        "RUNE_MAX_RUNTIME_SECONDS",
        "RUNE_MAX_COST_USD",
        "RUNE_SPENDING_LIMITS",
        "RUNE_WEBHOOKS",
    ],
)
def test_jobs_of_schedules_have_the_times_of_others(variable: str) -> None:
    api, janitor = (
        FUNCTIONS[name]["Environment"]["Variables"] for name in ("ApiFunction", "JanitorFunction")
    )

    assert janitor[variable] == api[variable]


def test_calls_to_models_have_a_whole_processor() -> None:
    assert FUNCTIONS["InferenceWorkerFunction"]["MemorySize"] == {"Ref": "InferenceMemoryMb"}
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
    assert TEMPLATE["Parameters"]["InferenceMemoryMb"]["Default"] == 1769


def test_load_lane_is_off_unless_asked_for_and_has_at_least_two_processors() -> None:
    parameters, of_lane = TEMPLATE["Parameters"], {"HasLoadLane", "HasLoadLaneOnAws"}
    conditions = {
        name: block.get("Condition") for name, block in RESOURCES.items() if name.startswith("Load")
    }

    assert parameters["LoadLane"]["Default"] == "off"
    assert set(conditions.values()) == of_lane
    assert FUNCTIONS["LoadWorkerFunction"]["MemorySize"] == {"Ref": "LoadMemoryMb"}
    memory_mb = {name: parameters["LoadMemoryMb"][name] for name in ("MinValue", "Default", "MaxValue")}
    processes = {name: LoadLane(mb).process_count for name, mb in memory_mb.items()}
    assert processes == {"MinValue": 2, "Default": 4, "MaxValue": 5}
    assert most_concurrency(processes["MaxValue"]) == MAX_CONCURRENCY
    policy = RESOURCES["LoadQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert [(each["Effect"], each["Condition"]) for each in policy] == [
        ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    ]


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"NotifierFunction"}))
def test_each_function_that_takes_jobs_is_told_of_the_load_lane(name: str) -> None:
    told = FUNCTIONS[name]["Environment"]["Variables"]["RUNE_LOAD_MEMORY_MB"]

    assert told == {"Fn::If": ["HasLoadLane", {"Ref": "LoadMemoryMb"}, "0"]}


TENANTS_PATH = {"Fn::If": ["HasTenantsPath", {"Ref": "TenantsPath"}, {"Fn::Sub": "/rune/${Stage}/tenants"}]}
PARAMETER = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter"
READERS = {"ApiRole": "ApiFunction", "MoneyWorkerRole": "MoneyWorkerFunction"} | {
    "InferenceWorkerRole": "InferenceWorkerFunction",
    "LoadWorkerRole": "LoadWorkerFunction",
    "TriggerRole": "TriggerFunction",
    "InvokeRole": "InvokeFunction",
    "JanitorRole": "JanitorFunction",
}


def readings(role: str) -> list[Block]:
    """Return what a role may read of SSM, whatever the deployment is given."""
    return [
        entry["Resource"]
        for entry in statements(ROLES[role]["Policies"])
        if entry["Action"] == "ssm:GetParameter" and entry["Effect"] == "Allow"
    ]


@pytest.mark.parametrize(("role", "function"), READERS.items())
def test_role_reads_parameters_below_the_path_that_its_function_is_told(role: str, function: str) -> None:
    below = {"Fn::Sub": [f"{PARAMETER}${{Path}}/*", {"Path": TENANTS_PATH}]}

    assert FUNCTIONS[function]["Environment"]["Variables"]["RUNE_TENANTS_PATH"] == TENANTS_PATH
    assert below in readings(role)


@pytest.mark.parametrize(
    ("role", "count"),
    [
        ("ApiRole", 2),
        ("MoneyWorkerRole", 2),
        ("InferenceWorkerRole", 2),
        ("LoadWorkerRole", 2),
        ("JanitorRole", 2),
        ("TriggerRole", 1),
        ("InvokeRole", 1),
        ("NotifierRole", 1),
    ],
)
def test_role_reads_no_other_parameter(role: str, count: int) -> None:
    assert len(readings(role)) == count


@pytest.mark.parametrize("role", sorted(READERS))
def test_only_workers_read_the_credentials_of_clusters(role: str) -> None:
    of_clusters = {"Fn::Sub": [f"{PARAMETER}${{Path}}/*/clusters/*", {"Path": TENANTS_PATH}]}

    denied = [entry["Resource"] for entry in statements(ROLES[role]["Policies"]) if entry["Effect"] == "Deny"]

    assert denied == ([] if "Worker" in role else [of_clusters])


@pytest.mark.parametrize("role", ["MoneyWorkerRole", "InferenceWorkerRole", "LoadWorkerRole", "JanitorRole"])
def test_only_functions_that_rent_read_the_providers_key(role: str) -> None:
    statement = statement_under("CanRent", role, "ReadVastaiKey")

    assert statement["Resource"] == {"Fn::Sub": f"{PARAMETER}${{VastaiApiKeyParameter}}"}
    assert statement["Resource"] not in readings("ApiRole")


SIGNERS = ["ApiRole", "NotifierRole"]


@pytest.mark.parametrize("role", SIGNERS)
def test_only_functions_that_sign_read_the_signing_key(role: str) -> None:
    statement = statement_under("HasSigningKey", role, "ReadSigningKey")

    assert statement["Resource"] == {"Fn::Sub": f"{PARAMETER}${{SigningKeyParameter}}"}
    assert not any(statement["Resource"] in readings(other) for other in ROLES.keys() - {*SIGNERS})


@pytest.mark.parametrize("role", sorted(ROLES))
def test_role_decrypts_with_the_operators_key_through_ssm_alone(role: str) -> None:
    statement = statement_under("HasSettingsKey", role, "DecryptSettings")

    assert statement["Resource"] == {"Ref": "SettingsKeyArn"}
    service = {"Fn::Sub": "ssm.${AWS::Region}.${AWS::URLSuffix}"}
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": service}}


@pytest.mark.parametrize("function", ["ApiFunction", "MoneyWorkerFunction"])
def test_settings_that_are_not_understood_ring(function: str) -> None:
    alarms = of_type("AWS::CloudWatch::Alarm").values()
    dimension = {"Name": "FunctionName", "Value": {"Ref": function}}

    (alarm,) = [
        found
        for found in alarms
        if (found["MetricName"], found["Dimensions"]) == (NOT_UNDERSTOOD_METRIC, [dimension])
    ]
    assert (alarm["Namespace"], alarm["Threshold"]) == (NAMESPACE, 1)


ALARMS = of_type("AWS::CloudWatch::Alarm")
DESCRIBED_ALARM = re.compile(r"`(\w+Alarm)`")


def alarms_of(metric: str, dimension: str) -> dict[str, Block]:
    """Return the alarms for a metric by the function or queue that each looks at."""
    found = {}
    for alarm in ALARMS.values():
        (watched,) = alarm["Dimensions"]
        if (alarm["MetricName"], watched["Name"]) == (metric, dimension):
            value = watched["Value"]
            found[value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]] = alarm
    return found


def test_each_alarm_is_described_once_in_the_operators_page() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    table = page.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    described = [name for row in rows for name in DESCRIBED_ALARM.findall(row.split("|")[1])]

    assert sorted(described) == sorted(ALARMS)
    assert all(len([cell for cell in row.split(" | ") if cell.strip("| ")]) == 4 for row in rows)


def test_operator_is_told_of_errors_latency_throttling_and_money() -> None:
    api, table, janitor = {"Ref": "HttpApi"}, {"Ref": "Table"}, {"Ref": "JanitorFunction"}
    watched = {
        (alarm["MetricName"], str(alarm["Dimensions"][0]["Value"]), str(alarm["Threshold"]))
        for alarm in ALARMS.values()
    }

    assert watched >= {
        ("5xx", str(api), "5"),
        ("Latency", str(api), "5000"),
        ("ReadThrottleEvents", str(table), "10"),
        ("WriteThrottleEvents", str(table), "10"),
        ("DollarsPerHour", str(janitor), str({"Ref": "SpendAlarmUsdPerHour"})),
    }


AWS_METRICS = {
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    "AWS/ApiGateway": {"Count", "4xx", "5xx", "Latency"},
    "AWS/Lambda": {"Errors", "Throttles"},
    "AWS/SQS": {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
    "AWS/DynamoDB": {"ReadThrottleEvents", "WriteThrottleEvents"},
}


def emitted_metrics() -> set[str]:
    """Return the names of metrics that the code gives: constants named so, and values of the field `metric`."""
    sources = [path.read_text() for room in ("shared", "functions") for path in (ROOT / room).rglob("*.py")]
    named = re.compile(r'(?:_METRIC = |"metric": |Status\.[A-Z]+: )"([A-Z]\w+)"')
    return {name for source in sources for name in named.findall(source)}


def dashboard_metrics() -> list[list[str]]:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
    body = re.sub(r"\$\{(\w+)[^}]*\}", r"\1", dashboard["DashboardBody"]["Fn::Sub"])
    return [
        metric[:4] for widget in json.loads(body)["widgets"] for metric in widget["properties"]["metrics"]
    ]


def test_each_metric_of_dashboard_and_alarms_is_really_given() -> None:
    watched = {(namespace, name) for namespace, name, *_ in dashboard_metrics()}
    watched |= {(alarm["Namespace"], alarm["MetricName"]) for alarm in ALARMS.values()}
    given = {(NAMESPACE, name) for name in emitted_metrics()}
    given |= {(namespace, name) for namespace, names in AWS_METRICS.items() for name in names}

    assert watched - given == set()


def test_dashboard_is_free_and_looks_at_what_is_there() -> None:
    metrics = dashboard_metrics()

    assert len(metrics) <= 50  # of a free dashboard
    assert {place for *_, place in metrics} <= RESOURCES.keys()
    assert {name for namespace, name, *_ in metrics if namespace == NAMESPACE} >= {
        "JobsRunning",
        "JobsWaiting",
        "JobsSucceeded",
        "JobsFailed",
        "JobsCancelled",
        "MachinesAlive",
        "DollarsPerHour",
    }


def test_each_alarm_tells_the_operator() -> None:
    told = {"Fn::If": ["HasAlarmEmail", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}

    assert [alarm["AlarmActions"] for alarm in ALARMS.values()] == [told] * len(ALARMS)


def test_cost_of_the_alarms_is_told() -> None:
    row = re.search(r"\| ([\w-]+) alarms \| ([\d.]+) \|", (ROOT / "docs/deploy.md").read_text())

    assert row is not None
    always = [name for name in ALARMS if name not in INTAKES]
    number_words = {30: "thirty", 31: "thirty-one", 32: "thirty-two", 33: "thirty-three"}
    assert row.groups() == (number_words[len(always)], f"{len(always) * 0.1:.2f}")


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_errors_and_throttles_of_each_function_ring(metric: str) -> None:
    # What fails in the functions of the intakes comes again, and rings in the end by its failure queue.
    of_intakes = {"Errors": {"TriggerFunction"}, "Throttles": set[str]()}
    found = alarms_of(metric, "FunctionName")

    assert found.keys() == (FUNCTIONS.keys() - INTAKES) | of_intakes[metric] | {"LoadWorkerFunction"}
    assert {(alarm["Statistic"], alarm["Threshold"]) for alarm in found.values()} == {("Sum", 1)}


def test_janitor_that_fails_or_is_not_called_in_four_of_five_minutes_rings() -> None:
    alarm = alarms_of("Errors", "FunctionName")["JanitorFunction"]

    assert FUNCTIONS["JanitorFunction"]["Events"]["Tick"]["Properties"]["Schedule"] == "rate(1 minute)"
    assert (alarm["Period"], alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (60, 4, 5)
    assert alarm["TreatMissingData"] == "breaching"


@pytest.mark.parametrize(
    ("queue", "lane"),
    [("MoneyQueue", Lane.MONEY), ("InferenceQueue", Lane.INFERENCE), ("LoadQueue", Lane.LOAD)],
)
def test_message_older_than_the_longest_delay_and_step_rings(queue: str, lane: Lane) -> None:
    alarm = alarms_of("ApproximateAgeOfOldestMessage", "QueueName")[queue]

    usual_seconds = LONGEST_DELAY_SECONDS + LANE_TIME_LIMIT_SECONDS[lane]
    assert usual_seconds < alarm["Threshold"] <= 2 * usual_seconds


def test_late_turns_of_more_than_one_job_ring() -> None:
    alarm = alarms_of("LateTurns", "FunctionName")["JanitorFunction"]
    job, now, sent_count = a_job(), NOW, 0
    while now < NOW + timedelta(seconds=alarm["Period"]):
        job, sent_count = apply(redispatch(job, now), job), sent_count + 1
        now = job.due_at or now

    assert alarm["Threshold"] == sent_count + 1


def test_way_out_that_fails_for_a_quarter_of_an_hour_rings() -> None:
    alarm = alarms_of("EventsNotPublished", "FunctionName")["NotifierFunction"]
    state, now, tries = OutboxState(), NOW, 0
    while now < NOW + timedelta(seconds=alarm["Period"]):
        failed = advance(state, {}, now, has_failed=True, expires_at=NOW)
        state, tries = apply(failed, state), tries + 1
        # The janitor's next minute.
        now += timedelta(minutes=-(-((state.due_at or now) - now) // timedelta(minutes=1)))

    assert tries - 3 <= alarm["Threshold"] <= tries - 1


def test_release_that_takes_too_long_rings() -> None:
    assert alarms_of("LongReleases", "FunctionName")["JanitorFunction"]["Threshold"] == 1


TWO_HASHES = [f"acme:sha256:{'a' * 64}", f"team:sha256:{'b' * 64}"]


@pytest.mark.parametrize("separator", [",", "\n", "\r\n"], ids=["comma", "line", "windows line"])
def test_tokens_are_taken_with_commas_and_line_by_line(separator: str) -> None:
    pattern = TEMPLATE["Parameters"]["ApiTokens"]["AllowedPattern"]

    assert re.search(pattern, separator.join(TWO_HASHES))
    assert not re.search(pattern, f"{TWO_HASHES[0]}  -")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_gets_only_the_variables_that_it_needs(name: str) -> None:
    assert FUNCTIONS[name]["Environment"]["Variables"].keys() == VARIABLES[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_writes_to_a_log_group_of_its_own(name: str) -> None:
    role = ROLES[FUNCTIONS[name]["Role"]["Fn::GetAtt"][0]]
    (logs,) = [entry for entry in statements(role["Policies"]) if entry["Sid"] == "Logs"]
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]
    assert group == name.replace("Function", "LogGroup")
    assert logs["Resource"] == {"Fn::GetAtt": [group, "Arn"]}


@pytest.mark.parametrize("name", LOG_GROUPS)
def test_log_group_forgets(name: str) -> None:
    assert LOG_GROUPS[name]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_access_log_is_json_without_what_can_carry_a_token() -> None:
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    line = json.loads(stage["AccessLogSettings"]["Format"])
    assert line.keys() >= {"request_id", "source_ip", "method", "path", "status", "latency_ms"}
    assert not any(word in str(line).lower() for word in ("header", "query", "authorizer"))


def test_gateway_waits_longer_than_its_function_may_take() -> None:
    (integration,) = of_type("AWS::ApiGatewayV2::Integration").values()
    assert FUNCTIONS["ApiFunction"]["Timeout"] * 1000 < integration["TimeoutInMillis"] <= 30_000


def longest_seconds(config: Any) -> int:  # noqa: ANN401  # botocore's own, whose stub lacks its options
    """Return how long one call of AWS may take with all its tries, and pauses of up to 1, 2, … s between them."""
    tries: int = config.retries["total_max_attempts"]
    seconds: int = config.connect_timeout + config.read_timeout
    return seconds * tries + sum(1 << number for number in range(tries - 1))


def test_calls_of_aws_that_hang_fit_into_the_functions_own_time() -> None:
    timeouts = {name: block["Timeout"] for name, block in FUNCTIONS.items()}

    assert 3 * longest_seconds(PROMPT_CONFIG) < timeouts["ApiFunction"]
    # A call that fails, and the one that puts what it was for off.
    assert all(
        longest_seconds(CONFIG) < seconds for name, seconds in timeouts.items() if name != "ApiFunction"
    )


def test_tokens_are_hidden_and_never_an_output() -> None:
    assert TEMPLATE["Parameters"]["ApiTokens"]["NoEcho"] is True
    assert "ApiTokens" not in str(TEMPLATE["Outputs"])


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_parameter_says_what_it_is_for(name: str) -> None:
    assert TEMPLATE["Parameters"][name]["Description"].strip()


def test_prod_is_refused_without_authentication() -> None:
    rule = TEMPLATE["Rules"]["ProdNeedsAuthentication"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}
    assert rule["Assertions"][0]["Assert"] == {"Fn::Equals": [{"Ref": "AuthDisabled"}, "false"]}


def test_deployment_without_authentication_may_not_spend_on_aws() -> None:
    rule = TEMPLATE["Rules"]["OpenDeploymentsBuyNothing"]
    is_open, is_on_aws = rule["RuleCondition"]["Fn::And"]

    assert is_open == {"Fn::Equals": [{"Ref": "AuthDisabled"}, "true"]}
    assert is_on_aws == {"Fn::Not": [{"Fn::Equals": [{"Ref": "Stage"}, "local"]}]}
    assert [each["Assert"] for each in rule["Assertions"]] == [
        {"Fn::Equals": [{"Ref": "VastaiApiKeyParameter"}, ""]},
        {"Fn::Equals": [{"Ref": "BedrockAccess"}, "false"]},
    ]


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_make_deploy_keeps_what_is_configured_for_the_stage(stage: str) -> None:
    with (ROOT / "samconfig.toml").open("rb") as file:
        configured = tomllib.load(file)[stage]["deploy"]["parameters"]["parameter_overrides"]
    recipe = subprocess.run(  # noqa: S603  # our own recipe
        ["make", "-n", "deploy", f"STAGE={stage}", "PARAMETERS=MaxDph=3"],  # noqa: S607  # as people call it
        cwd=ROOT,
        capture_output=True,
        check=True,
        # A make that runs this test has flags of its own, which this one would obey.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        text=True,
    ).stdout

    (overrides,) = re.findall(r"--parameter-overrides (.*?) \\", recipe)
    assert overrides.split() == configured
    assert recipe.rstrip().endswith(" MaxDph=3")


def _takes_image(image: str) -> bool:
    return re.search(TEMPLATE["Parameters"]["VastaiImage"]["AllowedPattern"], image) is not None


@pytest.mark.parametrize(
    "image",
    [
        TEMPLATE["Parameters"]["VastaiImage"]["Default"],
        f"ollama/ollama:0.33.3@sha256:{'0' * 64}",
        f"registry.example:5000/ollama@sha256:{'0' * 64}",
        "registry.example:5000/ollama:0.33.3",
    ],
)
def test_image_of_rented_machines_is_named_by_version_or_digest(image: str) -> None:
    assert _takes_image(image)


@pytest.mark.parametrize(
    "image", ["", "ollama/ollama", "ollama/ollama:latest", "registry.example:5000/ollama", "a b:1"]
)
def test_image_of_rented_machines_is_refused_when_it_may_change(image: str) -> None:
    assert not _takes_image(image)
