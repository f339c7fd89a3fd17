"""What stands between another agent and the tenant's money: a cap, a plan, and its token."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rune_client.cli.submissions import Submission, fingerprint_of
from rune_client.errors import InvalidArgumentError

LIFETIME_SECONDS = 900
"""Of a plan. Prices move, so an older one says little."""

_MOST_PLANS = 100


@dataclass(slots=True)
class Plan:
    """A job that was planned, exactly as it will be posted.

    Attributes
    ----------
    shown
        What RUNE said that it would rent and cost.
    is_confirmed
        Whether it was posted, or is being posted: its cap counts.
    may_exist
        Whether an answer was lost, so that nobody knows: its cap counts for good.
    """

    token: str
    kind: str
    request: Mapping[str, Any]
    max_cost_usd: float
    shown: Mapping[str, Any]
    expires_at: float
    is_confirmed: bool = False
    may_exist: bool = False
    submission: Submission | None = None


class Plans:
    """The plans of one session, and what their caps come to.

    Parameters
    ----------
    limit_usd
        What the caps of confirmed plans may come to together; None is no limit.
    clock
        Seconds that only rise.
    folder
        Where the key of a job is kept from before it is posted until its answer is here. If this program ends in
        between, the same job of a later session is posted under the same key, so it is one job.
    asks
        Which RUNE is asked, and for which tenant.
    """

    def __init__(
        self,
        limit_usd: float | None,
        clock: Callable[[], float],
        *,
        folder: Path,
        asks: tuple[str, str | None],
    ) -> None:
        self._folder, self._asks = folder, asks
        self._limit_usd = None if limit_usd is None else Decimal(str(limit_usd))
        self._clock = clock
        self._plans: dict[str, Plan] = {}

    @property
    def confirmed_usd(self) -> Decimal:
        """What the caps of confirmed plans come to."""
        return sum(
            (Decimal(str(plan.max_cost_usd)) for plan in self._plans.values() if plan.is_confirmed),
            Decimal(0),
        )

    def capped(self, request: Mapping[str, Any], max_cost_usd: float) -> dict[str, Any]:
        """Return a request with the cap in it.

        Raises
        ------
        InvalidArgumentError
            The cap is none, the request has another, or it is more than the session may still spend.
        """
        if not math.isfinite(max_cost_usd) or max_cost_usd <= 0:
            raise InvalidArgumentError("max_cost_usd must be a number of dollars above 0.")
        if request.get("max_cost_usd", max_cost_usd) != max_cost_usd:
            raise InvalidArgumentError("The request has another max_cost_usd than the argument.")
        if "dry_run" in request:
            raise InvalidArgumentError("dry_run is no part of the request here: leave it out.")
        self._require_room(max_cost_usd)
        return {**request, "max_cost_usd": max_cost_usd}

    def add(
        self, kind: str, request: Mapping[str, Any], max_cost_usd: float, shown: Mapping[str, Any]
    ) -> Plan:
        """Keep a plan, and return it with its token."""
        now = self._clock()
        for token in [each.token for each in self._plans.values() if _is_over(each, now)]:
            del self._plans[token]
        if sum(not each.is_confirmed for each in self._plans.values()) >= _MOST_PLANS:
            raise InvalidArgumentError(
                "There are a hundred plans that were not confirmed. Wait until they expire."
            )
        plan = Plan(secrets.token_urlsafe(18), kind, request, max_cost_usd, shown, now + LIFETIME_SECONDS)
        self._plans[plan.token] = plan
        return plan

    def of_token(self, token: str, max_cost_usd: float) -> Plan:
        """Return the plan of a token.

        Raises
        ------
        InvalidArgumentError
            There is no such plan, it is too old, the cap is another, or the session may not spend as much.
        """
        plan = self._plans.get(token)
        if plan is None or _is_over(plan, self._clock()):
            raise InvalidArgumentError(
                "There is no plan with this confirmation token, or it is older than 15 minutes."
            )
        if plan.max_cost_usd != max_cost_usd:
            raise InvalidArgumentError(
                f"The plan has a max_cost_usd of {plan.max_cost_usd:g}. Plan again for another."
            )
        if not plan.is_confirmed:
            self._require_room(max_cost_usd)
        return plan

    def confirm(self, plan: Plan) -> str:
        """Count a plan's cap, and return the key to post it under: however often, it is one job.

        Raises
        ------
        InvalidArgumentError
            The key cannot be kept.
        """
        if plan.submission is None:
            base_url, tenant = self._asks
            kind = f"mcp {plan.kind}"
            named = fingerprint_of(base_url=base_url, tenant=tenant, kind=kind, body=plan.request)
            try:
                plan.submission = Submission.begin(self._folder, named)
                plan.submission.about_to_send({}, spends=True)
            except OSError as error:
                raise InvalidArgumentError(
                    f"The key of this job cannot be kept in {self._folder} ({error.strerror}), so it could be paid "
                    "for twice. Nothing was sent. XDG_STATE_HOME names another folder."
                ) from None
        plan.is_confirmed = True
        return plan.submission.key

    def accepted(self, plan: Plan) -> None:
        """Forget the kept key: the job's id is known. This session still posts the plan under it."""
        if plan.submission is not None:
            plan.submission.forget()

    def take_back(self, plan: Plan) -> None:
        """Forget that a plan was confirmed: RUNE has refused the job, so nothing was spent."""
        plan.is_confirmed = plan.may_exist
        if not plan.may_exist:
            self.accepted(plan)

    def drop(self, plan: Plan) -> None:
        """Forget a plan: the user does not want it."""
        self._plans.pop(plan.token, None)

    def _require_room(self, max_cost_usd: float) -> None:
        if self._limit_usd is None:
            return
        left = self._limit_usd - self.confirmed_usd
        if Decimal(str(max_cost_usd)) > left:
            raise InvalidArgumentError(
                f"This session may spend {self._limit_usd} USD, of which {left} are left. A person sets the limit."
            )


def _is_over(plan: Plan, now: float) -> bool:
    """Return whether a plan is too old. One that was confirmed stays, since its cap counts."""
    return not plan.is_confirmed and now >= plan.expires_at
