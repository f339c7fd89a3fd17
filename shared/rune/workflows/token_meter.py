"""A model server that bills by the token, which notes what each call costs its job.

Before a call its bound is announced (`rune.jobs.tokens`): the prompt at one token a byte, and the longest answer.
When it has ended, what the server counted replaces the bound. A call that broke off counts at its bound, since what
the server made of it until then is not known; one that the server refused to begin costs nothing.
"""

from collections.abc import Callable
from typing import override

from rune.amounts import MICRO_USD_PER_USD
from rune.bench.token_bounds import CHAT_FRAME_TOKENS, UNLIMITED_ANSWER_TOKENS, most_prompt_tokens
from rune.errors import InvalidRequestError, ModelServerError
from rune.jobs.step import StepContext
from rune.jobs.tokens import TokenAccount
from rune.llm.bedrock_address import bedrock_region
from rune.llm.first_token import first_token_ms
from rune.llm.protocol import (
    Capabilities,
    ChatRequest,
    Generation,
    ModelFacts,
    ModelServer,
    OnChunk,
    OnPull,
    PullRequest,
    ServerFacts,
    ServerMetrics,
    TokenCountSource,
    WarmUp,
    WarmUpRequest,
)
from rune.money.token_prices import TokenPrice, find_list_price, highest_price
from rune.tenants.document import BedrockSettings


def find_price(bedrock: BedrockSettings | None, model: str, url: str) -> TokenPrice | None:
    """Return what a model's tokens cost a tenant on Bedrock at an address; None where no price is known.

    What the operator states in the tenant's document holds before the list prices.
    """
    stated = () if bedrock is None else bedrock.stated_prices(model)
    if stated:
        return highest_price(
            TokenPrice.of_usd(each.input_usd_per_million_tokens, each.output_usd_per_million_tokens)
            for each in stated
        )
    return find_list_price(model, bedrock_region(url) or "")


def price_unknown(model: str, pointer: str = "") -> InvalidRequestError:
    """Return the refusal of a model whose tokens have no price that is known here."""
    return InvalidRequestError(
        f"No price is known for tokens of {model!r}, so no budget can hold. Your operator can state one in "
        "bedrock.prices of your tenant's document.",
        pointer=f"{pointer}/model",
        code="price_unknown",
    )


def tokens_usd(context: StepContext) -> float | None:
    """Return what a job that only buys tokens has cost, in dollars; None for any other, whose cost comes later."""
    job, account = context.job, context.tokens
    if job.rents or not job.is_billed or account is None:
        return None
    return account.spent_micro_usd / MICRO_USD_PER_USD


class MeteredServer(ModelServer):
    """Another server, whose calls are noted in a job's account.

    Parameters
    ----------
    find_price
        Returns what tokens of a model cost; None where that is not known.
    most_prompt_tokens
        Of a prompt whose length in tokens was chosen; None bounds each prompt by its bytes.
    """

    def __init__(
        self,
        server: ModelServer,
        account: TokenAccount,
        find_price: Callable[[str], TokenPrice | None],
        most_prompt_tokens: int | None = None,
    ) -> None:
        self._server = server
        self._account = account
        self._find_price = find_price
        self._most_prompt_tokens = most_prompt_tokens

    def with_prompts_of(self, most_tokens: int) -> "MeteredServer":
        """Return the same server for prompts that were made to be at most so long."""
        return MeteredServer(self._server, self._account, self._find_price, most_tokens)

    def announce(self, model: str, count: int, prompt_tokens: int, answer_tokens: int | None) -> None:
        """Announce so many calls at once, so that none of them waits for the table."""
        price = self._find_price(model)
        if price is not None:
            answer = UNLIMITED_ANSWER_TOKENS if answer_tokens is None else answer_tokens
            self._account.announce(count * price.cost_micro_usd(prompt_tokens + CHAT_FRAME_TOKENS, answer))

    @override
    async def chat(self, request: ChatRequest, on_chunk: OnChunk) -> Generation:
        """Return the answer.

        Raises
        ------
        CostCapReachedError
            The job's cap does not leave enough for the call.
        InvalidRequestError
            The model's price is not known any more, and the job has a cap.
        ModelServerError, AddressError
            As `ModelServer.chat`.
        """
        price = self._find_price(request.model)
        if price is None:
            if self._account.left_micro_usd is not None:
                raise price_unknown(request.model)
            # Accepted by a version without prices.
            return await self._server.chat(request, on_chunk)
        answer_tokens = request.max_output_tokens
        most = price.cost_micro_usd(
            self._most_prompt(request) + CHAT_FRAME_TOKENS,
            UNLIMITED_ANSWER_TOKENS if answer_tokens is None else answer_tokens,
        )
        self._account.begin(most)
        cost = most
        try:
            generation = await self._server.chat(request, on_chunk)
            cost = _cost_of(generation, price, most)
        except ModelServerError as error:
            cost = most if error.may_be_billed else 0
            raise
        finally:
            self._account.end(most, cost)
        return generation

    def _most_prompt(self, request: ChatRequest) -> int:
        by_bytes = most_prompt_tokens(request.messages, request.tools)
        return by_bytes if self._most_prompt_tokens is None else min(by_bytes, self._most_prompt_tokens)

    @override
    async def warm_up(self, request: WarmUpRequest) -> WarmUp:
        """Let the model write one token; what bills by the token has nothing to load."""
        return WarmUp(0.0, await first_token_ms(self, request, timeout_seconds=request.timeout_seconds))

    @override
    async def list_models(self) -> tuple[str, ...]:
        return await self._server.list_models()

    @override
    async def list_running(self) -> tuple[str, ...]:
        return await self._server.list_running()

    @override
    async def has_model(self, model: str) -> bool | None:
        return await self._server.has_model(model)

    @override
    async def capabilities(self, model: str) -> Capabilities:
        return await self._server.capabilities(model)

    @override
    async def describe_server(self) -> ServerFacts:
        return await self._server.describe_server()

    @override
    async def describe_model(self, model: str) -> ModelFacts:
        return await self._server.describe_model(model)

    @override
    async def round_trip_ms(self) -> float | None:
        return await self._server.round_trip_ms()

    @override
    async def read_metrics(self, model: str) -> ServerMetrics | None:
        return await self._server.read_metrics(model)

    @override
    async def pull(self, request: PullRequest, on_progress: OnPull) -> bool:
        return await self._server.pull(request, on_progress)

    @override
    async def aclose(self) -> None:
        await self._server.aclose()


def _cost_of(generation: Generation, price: TokenPrice, most_micro_usd: int) -> int:
    """Return what an answer costs; a server that did not count is believed nothing."""
    tokens = generation.tokens
    if tokens.source is not TokenCountSource.USAGE or tokens.prompt_count is None:
        return most_micro_usd
    return price.cost_micro_usd(tokens.prompt_count, tokens.output_count)
