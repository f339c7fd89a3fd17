"""What the local stack lends to tenants: the simulated Bedrock, and credentials if there are any."""

import json

from local.emulator import REGION, AwsSession

PARAMETER = "/rune/local/backends"


def lend_backends(aws: AwsSession, given: str, tenant: str, bedrock_url: str | None) -> dict[str, str]:
    """Write the settings of backends where the functions read them; return the template's parameters for them.

    Parameters
    ----------
    given
        In the form of docs/backends.md; empty lends all of the simulated Bedrock to the tenant.
    bedrock_url
        The simulated Bedrock's address; None where there is none, and then nothing is Bedrock.
    """
    share = {"bedrock": {"regions": [REGION], "models": ["*"]}}
    text = given or (json.dumps({tenant: share}) if bedrock_url else "")
    if not text:
        return {}
    aws.client("ssm").put_parameter(Name=PARAMETER, Value=text, Type="SecureString", Overwrite=True)
    bedrock = {"BedrockAccess": "true", "BedrockUrl": bedrock_url} if bedrock_url else {}
    return {"BackendsParameter": PARAMETER, **bedrock}
