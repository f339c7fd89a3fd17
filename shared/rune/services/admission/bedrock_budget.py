"""How many tokens a job may buy from Amazon Bedrock, which bills the operator's account by the token.

Every kind of job is counted here before it is accepted, by upper bounds: each call that the job could make, its
prompt at one token for each byte (`most_tokens`), and its longest answer.
"""

from rune.bench.token_bounds import CHAT_FRAME_TOKENS, most_synthetic_tokens, most_tokens
from rune.contracts import AgenticAgentRequest, BenchmarkRequest, JudgeModel, LlmInstanceRequest, Workload
from rune.errors import InvalidRequestError
from rune.services.admission.workloads import count_requests
from rune.tenants.backends import TenantBackends
from rune.workflows.graph import Request

UNLIMITED_ANSWER_TOKENS = 65_536
"""Of one answer without a limit: about the most that a model on Bedrock writes (model cards, November 2026)."""

WARM_UP_TOKENS = CHAT_FRAME_TOKENS + 3
"""Of the request that warms a model up: two letters, and one token of an answer."""


def check_bedrock_budget(request: Request, backends: TenantBackends) -> None:
    """Refuse a job that could buy more of Bedrock than its tenant may have for one job.

    Parameters
    ----------
    request
        Its servers have been admitted.

    Raises
    ------
    InvalidRequestError
        It could take more than `max_tokens_per_job`, in and out together; or a workload's answers have no limit.
    """
    if backends.bedrock is None:
        return
    could_take_tokens = _most_tokens_of(request)
    limit_tokens = backends.bedrock.max_tokens_per_job
    if could_take_tokens > limit_tokens:
        has_workload = isinstance(request, BenchmarkRequest) and request.workload is not None
        raise InvalidRequestError(
            f"The job could take {could_take_tokens:,} tokens from Bedrock; your tenant may take "
            f"{limit_tokens:,} a job.",
            pointer="/workload" if has_workload else "/question",
            code="bedrock_budget_exceeded",
        )


def _most_tokens_of(request: Request) -> int:
    match request:
        case LlmInstanceRequest():
            return 0  # it lists models, and asks none
        case AgenticAgentRequest():
            # An agent with a server of its own has no backend_url. The other one, `ask`, asks the model once.
            is_bedrocks = request.backend_type == "bedrock" and request.backend_url is not None
            return _most_tokens_of_question(request.question) + WARM_UP_TOKENS if is_bedrocks else 0
        case BenchmarkRequest():
            judge = request.expected.judge if request.expected else None
            work = _most_tokens_of_work(request) if request.backend_type == "bedrock" else 0
            is_judged_there = judge is not None and _judges_on_bedrock(judge, request)
            return work + (_most_tokens_of_judging(request, judge) if judge and is_judged_there else 0)


def _judges_on_bedrock(judge: JudgeModel, request: BenchmarkRequest) -> bool:
    if judge.backend_type == "bedrock":
        return True
    return judge.backend_url is None and request.backend_type == "bedrock"


def _most_tokens_of_question(question: str) -> int:
    return most_tokens(question) + CHAT_FRAME_TOKENS + UNLIMITED_ANSWER_TOKENS


def _most_tokens_of_work(request: BenchmarkRequest) -> int:
    """Return what warming up, measuring, and learning how the model counts could take."""
    workload = request.measured
    if request.workload is not None and workload.output_tokens is None:
        raise InvalidRequestError(
            "Bedrock bills every token, so a workload there needs output_tokens.",
            pointer="/workload/output_tokens",
            code="output_tokens_missing",
        )
    prompt_tokens = max(_prompt_bounds(request.question, workload)) + CHAT_FRAME_TOKENS
    answer_tokens = workload.output_tokens or UNLIMITED_ANSWER_TOKENS
    asked_count = count_requests(workload, grows=request.grows) + workload.warmup_count
    # A point whose prompts seem to be cut sends a part of one again, for one token.
    learning_tokens = workload.point_count * (prompt_tokens + 1) + _most_tokens_of_learning(workload)
    return WARM_UP_TOKENS + asked_count * (prompt_tokens + answer_tokens) + learning_tokens


def _prompt_bounds(question: str, workload: Workload) -> list[int]:
    """Return the most tokens of each prompt, with its number."""
    if workload.input_tokens is not None:
        return [most_synthetic_tokens(workload.input_tokens)]
    # Imported at the first benchmark on Bedrock, with the prompts that RUNE brings.
    from rune.bench.prompts import NONCE_BYTES, make_prompts  # noqa: PLC0415

    nonce_tokens = NONCE_BYTES if workload.prefix_cache == "busted" else 0
    return [most_tokens(prompt) + nonce_tokens for prompt in make_prompts(question, workload)]


def _most_tokens_of_learning(workload: Workload) -> int:
    """Return what it takes to learn how many tokens a synthetic word is."""
    if workload.input_tokens is None:
        return 0
    from rune.bench.prompts import NONCE_BYTES, learning_prompts  # noqa: PLC0415  # as above

    each = NONCE_BYTES + CHAT_FRAME_TOKENS + 1
    return sum(most_tokens(prompt) + each for prompt in learning_prompts(workload.seed))


def _most_tokens_of_judging(request: BenchmarkRequest, judge: JudgeModel) -> int:
    # Imported here: only who has answers judged on Bedrock needs it.
    from rune.bench.judging import judge_messages  # noqa: PLC0415
    from rune.bench.prompts import make_prompts  # noqa: PLC0415
    from rune.workflows.benchmark.context_size import JUDGE_REPLY_TOKENS  # noqa: PLC0415
    from rune.workflows.benchmark.state import LONGEST_JUDGED_BYTES  # noqa: PLC0415

    workload = request.measured
    longest_prompt = max(make_prompts(request.question, workload), key=most_tokens)
    chat = judge_messages(judge, longest_prompt, "")
    asked_tokens = sum(most_tokens(message.content) for message in chat) + LONGEST_JUDGED_BYTES
    return count_requests(workload, grows=False) * (asked_tokens + CHAT_FRAME_TOKENS + JUDGE_REPLY_TOKENS)
