"""What the local stack's operator decides: tenants' documents and two keys, in the emulator's SSM."""

import json
from collections.abc import Mapping, Sequence

from local.emulator import REGION, AwsSession

# What the template makes of Stage=local.
TENANTS_PATH = "/rune/local/tenants"
VASTAI_KEY_PARAMETER = "/rune/local/vastai-key"
SIGNING_KEY_PARAMETER = "/rune/local/signing-key"

# The template by which clients in the field rent; the simulated Vast.ai has it.
FIELD_TEMPLATE = "c166c11f035d3a97871a23bd32ca6aba"

# The placeholder in the specification's example, which works here as printed: the simulated Vast.ai has it too.
EXAMPLE_TEMPLATE = "..."

ALLOWED_TEMPLATES = (FIELD_TEMPLATE, EXAMPLE_TEMPLATE)

CLUSTER = "demo"
"""The simulated cluster's name in requests."""

PRICE_OF_INVESTIGATORS = {"input_usd_per_million_tokens": 0.25, "output_usd_per_million_tokens": 1.25}
"""Of the simulated Bedrock's scripted models, which no price list has: as Claude 3 Haiku."""

type Document = Mapping[str, object]
"""A tenant's settings, in the form of docs/tenants.md."""


def make_documents(
    given: str,
    tenants: Sequence[str],
    *,
    has_bedrock: bool,
    agent_urls: Mapping[str, str] | None = None,
    has_cluster: bool = False,
) -> dict[str, Document]:
    """Return each tenant's document.

    Parameters
    ----------
    given
        Documents by tenant, as JSON; empty allows each tenant the templates of clients in the field and of the
        specification's example, and lends all of the simulated Bedrock, the simulated agents' servers and the
        simulated cluster to the first.
    agent_urls
        Addresses of the simulated agents' servers, by the name of the agent.
    has_cluster
        Whether the simulated cluster is there; its credentials are written by `write_cluster`.

    Raises
    ------
    ValueError
        It is no JSON object of objects. The message does not repeat it.
    """
    if given:
        read = _parse(given)
        if not isinstance(read, dict) or not all(isinstance(document, dict) for document in read.values()):
            raise ValueError("RUNE_TENANTS must be a JSON object with a document for each tenant")
        return read
    documents: dict[str, Document] = {tenant: {"templates": [*ALLOWED_TEMPLATES]} for tenant in tenants}
    if has_bedrock:
        bedrock = {"regions": [REGION], "models": ["*"], "prices": {"rune.*": PRICE_OF_INVESTIGATORS}}
        documents[tenants[0]] = {**documents[tenants[0]], "bedrock": bedrock}
    if agent_urls:
        agents = {name: {"base_url": url} for name, url in agent_urls.items()}
        documents[tenants[0]] = {**documents[tenants[0]], "agents": agents}
    if has_cluster:
        documents[tenants[0]] = {**documents[tenants[0]], "clusters": {CLUSTER: {}}}
    return documents


def write_documents(aws: AwsSession, documents: Mapping[str, Document]) -> None:
    """Write the documents where the functions read them."""
    for tenant, document in documents.items():
        write_secret(aws, f"{TENANTS_PATH}/{tenant}", json.dumps(document))


def write_cluster(aws: AwsSession, tenant: str, kubeconfig: str) -> None:
    """Write a cluster's credentials where the workers read them."""
    write_secret(aws, f"{TENANTS_PATH}/{tenant}/clusters/{CLUSTER}", kubeconfig)


def read_document(aws: AwsSession, tenant: str) -> dict[str, object]:
    """Return a tenant's document as it is now; empty where there is none."""
    ssm = aws.client("ssm")
    try:
        found = ssm.get_parameter(Name=f"{TENANTS_PATH}/{tenant}", WithDecryption=True)
    except ssm.exceptions.ParameterNotFound:
        return {}
    document: dict[str, object] = json.loads(found["Parameter"]["Value"])
    return document


def write_secret(aws: AwsSession, name: str, value: str) -> None:
    """Write a SecureString, in place of the one that is there."""
    aws.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
