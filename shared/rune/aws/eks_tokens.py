"""Tokens with which the function's own role reads a cluster of EKS. No call is made, and no permission needed.

The token is a signed address of STS that tells who signed it. The cluster's owner lets the role in with an access
entry. It holds for 15 minutes, for the cluster named in it.
"""

import base64
from collections.abc import Callable

from botocore.hooks import HierarchicalEmitter
from botocore.model import ServiceId
from botocore.session import Session
from botocore.signers import RequestSigner

from rune.errors import ClusterNotUsableError
from rune.kubernetes.kubeconfig import EksBinding

_PREFIX = "k8s-aws-v1."
_CHINA = "cn-"
# Usual, and ignored by the cluster, which counts 15 minutes from the time of signing.
_EXPIRES_SECONDS = 60


class EksTokens:
    """Signs for clusters to which the operator has bound a tenant; never for a name that a request gives.

    Parameters
    ----------
    session
        Gives the role's credentials.
    """

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session

    def sign(self, binding: EksBinding) -> str:
        """Return a token for a cluster.

        Raises
        ------
        ClusterNotUsableError
            The function has no credentials of AWS.
        """
        credentials = self._session().get_credentials()
        if credentials is None:
            raise ClusterNotUsableError("This deployment has no role of AWS, with which it could sign.")
        events = HierarchicalEmitter()  # of which the signer keeps no reference
        signer = RequestSigner(
            ServiceId("sts"),
            binding.region,
            "sts",
            "v4",
            credentials,
            events,
        )
        suffix = ".cn" if binding.region.startswith(_CHINA) else ""
        url = signer.generate_presigned_url(
            {
                "method": "GET",
                "url": f"https://sts.{binding.region}.amazonaws.com{suffix}/"
                "?Action=GetCallerIdentity&Version=2011-06-15",
                "body": {},
                "headers": {"x-k8s-aws-id": binding.cluster_name},
                "context": {},
            },
            region_name=binding.region,
            expires_in=_EXPIRES_SECONDS,
            operation_name="",
        )
        return _PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
