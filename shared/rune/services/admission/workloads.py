"""What is refused of a benchmark's workload, and of how its answers are to be judged."""

import math

from rune.contracts import BenchmarkRequest, JudgeModel, Workload
from rune.contracts.workloads import MAX_JUDGED_BY_MODEL, MAX_REQUESTS, PROCESS_CONCURRENCY, RoledTurn
from rune.errors import InvalidRequestError
from rune.net.addresses import AddressPolicy
from rune.tenants.backends import TenantBackends, check_backend


def admit_work(
    request: BenchmarkRequest,
    policy: AddressPolicy,
    backends: TenantBackends,
    most_concurrency: int = PROCESS_CONCURRENCY,
) -> BenchmarkRequest:
    """Return the request with its workload, and its judge's server, in their one spelling.

    Parameters
    ----------
    request
        Its own server, or the terms of its rental, have been admitted.
    most_concurrency
        Most requests that the deployment has under way.

    Raises
    ------
    InvalidRequestError
        More requests than a job may have, or than the deployment has under way; a context that is too small or that
        the server cannot be told, an expectation that cannot be used, or a judge that cannot judge.
    """
    request = _spell_alike(request)
    _check_context(request)
    _check_concurrency(request, most_concurrency)
    request_count = 1 if request.workload is None else count_requests(request.workload, grows=request.grows)
    if request_count > MAX_REQUESTS:
        raise InvalidRequestError(
            f"The workload is {request_count:,} requests to be measured; a job may have {MAX_REQUESTS:,}.",
            pointer="/workload",
            code="workload_too_large",
        )
    if request.expected is None:
        return request
    # Imported at the first expectation: a validator of schemas is no reason for a slower start of everything else.
    from rune.bench.judging import check_expectation  # noqa: PLC0415

    check_expectation(request.expected)
    judge = request.expected.judge
    if judge is None:
        return request
    judged_count = 1 if request.workload is None else count_judged(request.workload)
    if judged_count > MAX_JUDGED_BY_MODEL:
        raise InvalidRequestError(
            f"A judge model reads at most {MAX_JUDGED_BY_MODEL} answers; the workload gives {judged_count:,}.",
            pointer="/expected/judge",
            code="too_many_to_judge",
        )
    judge = _admit_judge(judge, request, policy, backends)
    return request.model_copy(update={"expected": request.expected.model_copy(update={"judge": judge})})


def _spell_alike(request: BenchmarkRequest) -> BenchmarkRequest:
    """Return the request with what is a default left out, and with a text for each prompt of one turn."""
    workload = request.workload
    if workload is None:
        return request
    alike: dict[str, object] = {}
    if workload.concurrency == [1] and not workload.sweep:
        alike["concurrency"] = None
    if workload.prompts is not None:
        alike["prompts"] = [_spell_prompt(prompt) for prompt in workload.prompts]
    return request.model_copy(update={"workload": workload.model_copy(update=alike)})


def _spell_prompt(prompt: str | list[str | RoledTurn]) -> str | list[str | RoledTurn]:
    turns = [prompt] if isinstance(prompt, str) else prompt
    spelt = [turn.content if isinstance(turn, RoledTurn) and turn.role == "user" else turn for turn in turns]
    return spelt[0] if len(spelt) == 1 and isinstance(spelt[0], str) else spelt


def count_requests(workload: Workload, *, grows: bool) -> int:
    """Return how many requests are measured at most: turns of prompts x the repetitions of each point.

    Parameters
    ----------
    grows
        `BenchmarkRequest.grows`.
    """
    prompt_count, turn_count = count_prompts(workload)
    return workload.request_count(prompt_count, grows=grows, turn_count=turn_count)


def count_judged(workload: Workload) -> int:
    """Return how many answers a judge model reads at most: the last one of each conversation."""
    return workload.request_count(count_prompts(workload)[0], grows=False)


def count_prompts(workload: Workload) -> tuple[int, int]:
    """Return how many prompts a workload has, and how many requests they are together."""
    # Imported at the first workload, with the prompts that RUNE brings.
    from rune.bench.prompts import make_prompts  # noqa: PLC0415
    from rune.bench.turns import turn_count_of  # noqa: PLC0415

    # Only their number matters: a synthetic prompt of words without end is one word long.
    prompts = make_prompts("", workload, tokens_per_word=math.inf)
    return len(prompts), sum(map(turn_count_of, prompts))


def _check_concurrency(request: BenchmarkRequest, most: int) -> None:
    concurrency, bound = max(request.measured.levels), most
    why = "this deployment has at most {bound} requests under way"
    if request.backend_type == "bedrock":
        # Its bill is counted in one process; and it throttles by the account long before.
        bound, why = (
            PROCESS_CONCURRENCY,
            "Bedrock is asked by one process, with at most {bound} requests under way",
        )
    if concurrency > bound:
        raise InvalidRequestError(
            f"The workload has {concurrency} requests under way; {why.format(bound=bound)}.",
            pointer="/workload",
            code="concurrency_too_high",
        )


def _check_context(request: BenchmarkRequest) -> None:
    if request.context_tokens is None:
        return
    if request.backend_type != "ollama":
        raise InvalidRequestError(
            "Only Ollama can be told which context to load a model with.",
            pointer="/context_tokens",
            code="context_tokens_unsupported",
        )
    # Texts are not counted. Tokens of some vocabularies span many words, so a text has no least number of tokens.
    output_tokens = request.measured.output_tokens or 0
    needed_tokens = (request.measured.input_tokens or 0) + output_tokens * _most_answers(request.measured)
    if needed_tokens > request.context_tokens:
        raise InvalidRequestError(
            f"Prompts and answers of {needed_tokens} tokens do not fit in a context of {request.context_tokens}.",
            pointer="/context_tokens",
            code="context_too_small",
        )


def _most_answers(workload: Workload) -> int:
    """Return how many answers are in the context of the longest conversation."""
    if not workload.has_conversations:
        return 1
    from rune.bench.prompts import make_prompts  # noqa: PLC0415  # as above
    from rune.bench.turns import turn_count_of  # noqa: PLC0415

    return max(map(turn_count_of, make_prompts("", workload)))


def _admit_judge(
    judge: JudgeModel, request: BenchmarkRequest, policy: AddressPolicy, backends: TenantBackends
) -> JudgeModel:
    if judge.backend_url is not None or judge.backend_type == "bedrock":
        url = check_backend(backends, judge, policy, model=judge.model, pointer="/expected/judge")
        return judge.model_copy(update={"backend_url": url})
    if request.wants_rental:
        raise _server_missing("A rented machine holds the measured model alone; name the judge's own server.")
    if judge.backend_type != "ollama" or judge.backend_credential is not None:
        raise _server_missing("Type and credential are those of the judge's own server; name its address.")
    # Bedrock's models are allowed one by one; on any other server that may be used every model may be.
    check_backend(backends, request, policy, model=judge.model, pointer="/expected/judge")
    return judge


def _server_missing(sentence: str) -> InvalidRequestError:
    return InvalidRequestError(sentence, pointer="/expected/judge/backend_url", code="judge_server_missing")
