import base64
from urllib.parse import parse_qs, urlsplit

from botocore.session import Session

from rune.aws.eks_tokens import EksTokens
from rune.kubernetes.kubeconfig import EksBinding


def signed_address(region: str) -> str:
    session = Session()
    session.set_credentials("AKIDEXAMPLE", "secret", "session-token")
    token = EksTokens(lambda: session).sign(EksBinding("prod", region))
    assert token.startswith("k8s-aws-v1.")
    assert "=" not in token
    return base64.urlsafe_b64decode(token.removeprefix("k8s-aws-v1.") + "==").decode()


def test_token_is_a_signed_address_of_sts_for_one_cluster() -> None:
    address = urlsplit(signed_address("eu-central-1"))
    query = {key: values[0] for key, values in parse_qs(address.query).items()}

    assert (address.scheme, address.netloc, address.path) == ("https", "sts.eu-central-1.amazonaws.com", "/")
    assert (query["Action"], query["Version"], query["X-Amz-Expires"]) == (
        "GetCallerIdentity",
        "2011-06-15",
        "60",
    )
    assert query["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert query["X-Amz-Security-Token"] == "session-token"
    assert query["X-Amz-Credential"].endswith("/eu-central-1/sts/aws4_request")


def test_china_has_its_own_domain() -> None:
    assert urlsplit(signed_address("cn-north-1")).netloc == "sts.cn-north-1.amazonaws.com.cn"
