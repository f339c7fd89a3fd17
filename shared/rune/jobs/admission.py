"""What is refused at the door, so that no job is accepted which could only fail later."""

from rune.contracts import BenchmarkRequest
from rune.errors import AddressRefusedError, InvalidRequestError
from rune.net.addresses import AddressPolicy, parse_backend_url


def admit_benchmark(request: BenchmarkRequest, policy: AddressPolicy) -> str:
    """Return the request as the job keeps it, a JSON document without what the job does not use.

    Raises
    ------
    InvalidRequestError
        With code `vastai_not_available`, `attestation_not_available`, `backend_url_missing` or `address_refused`.
    """
    if request.wants_rental:
        pointer = "/vastai" if request.vastai else "/provisioning/vastai"
        raise InvalidRequestError(
            "Renting GPUs on Vast.ai is not available yet; name a running model server in backend_url.",
            pointer=pointer,
            code="vastai_not_available",
        )
    if request.attestation_required:
        raise InvalidRequestError(
            "No machine here can prove what it is, so attestation_required cannot be honoured.",
            pointer="/attestation_required",
            code="attestation_not_available",
        )
    if request.backend_url is None:
        raise InvalidRequestError(
            "Name the model server to be measured in backend_url.",
            pointer="/backend_url",
            code="backend_url_missing",
        )
    try:
        backend_url = parse_backend_url(request.backend_url, policy)
    except AddressRefusedError as error:
        raise InvalidRequestError(error.sentence, pointer="/backend_url", code=error.code) from None
    admitted = request.model_copy(update={"backend_url": backend_url.url, "kubeconfig": None})
    return admitted.model_dump_json(exclude_none=True)
