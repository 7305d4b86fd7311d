"""Finding out which token and which form of the Authorization header the call-in operation accepts.

The vendor's page says one thing and working clients another, so an operator may ask: each form once, the configured
one first. Knows the issuer port and the account's book. The one invariant: every call is counted before it is made,
there are at most four, and none steps over a stop that the cloud ordered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from broker.core import quota
from broker.errors import (
    GatewayOffline,
    QuotaExhausted,
    TokenRefused,
    UpstreamError,
    UpstreamRejected,
    UserActionRequired,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.config import AccountConfig, TicketConfig
    from broker.core.session import HeldToken
    from broker.ports import Events, TicketIssuer
    from broker.services.fleet import Account
    from broker.services.timekeeper import Timekeeper

Row = dict[str, Any]
Verdict = Literal["accepted", "passed", "refused", "stopped", "not_tried"]


@dataclass(frozen=True, slots=True)
class Form:
    """What is sent as Authorization: which token, behind which scheme ("" for the raw token)."""

    token: Literal["id_token", "access_token"]
    scheme: Literal["", "Bearer"]


FORMS = (Form("id_token", ""), Form("access_token", "Bearer"), Form("id_token", "Bearer"), Form("access_token", ""))


class Prober:
    """Makes the calls of a probe; `issuer_for` gives the way to the operation under other settings."""

    def __init__(
        self,
        issuer_for: Callable[[AccountConfig], Awaitable[TicketIssuer]],
        *,
        timekeeper: Timekeeper,
        events: Events,
    ) -> None:
        self._issuer_for = issuer_for
        self._timekeeper = timekeeper
        self._events = events

    async def probe(self, account: Account, ticket: TicketConfig, *, only_configured: bool) -> Row:
        """What each form brought, and the form to configure. Raises: BrokerError where no call could be made at all."""
        configured = Form(account.config.api.token, account.config.api.scheme)
        forms = [configured] if only_configured else [configured, *(form for form in FORMS if form != configured)]
        await account.identity.fresh_token()
        attempts: list[Row] = []
        for form in forms:
            if not any(row["verdict"] in {"accepted", "passed", "stopped"} for row in attempts):
                attempts.append(await self._attempt(account, ticket, form, first=not attempts))
        calls = sum(row["verdict"] != "not_tried" for row in attempts)
        self._events.emit("ticket.probed", ticket=ticket.name, account=account.config.name, count=calls)
        found = next((row for row in attempts if row["verdict"] in {"accepted", "passed"}), None)
        return {
            "name": ticket.name,
            "account": account.config.name,
            "configured": _form_row(configured),
            "attempts": attempts,
            "calls": calls,
            "found": None if found is None else {"token": found["token"], "scheme": found["scheme"]},
            "certain": found is not None and found["verdict"] == "accepted",
        }

    async def _attempt(self, account: Account, ticket: TicketConfig, form: Form, *, first: bool) -> Row:
        held = self._token(account, form)
        if held is None:
            return _row(form, "not_tried", None, f"the login brought no {form.token.replace('_', ' ')}")
        refusal = self._stop(account)
        if refusal is not None and first:
            raise refusal
        if refusal is not None:
            return _row(form, "not_tried", refusal.code.value, refusal.message)
        account.book.ledger = quota.recorded(account.book.ledger, self._timekeeper.now())
        await account.book.commit()
        account.calls.made += 1
        api = replace(account.config.api, token=form.token, scheme=form.scheme)
        issuer = await self._issuer_for(replace(account.config, api=api))
        try:
            await issuer.issue(ticket.plant_id, ticket.device_id, held.token)
        except UpstreamError as error:
            if isinstance(error, QuotaExhausted):
                account.calls.stop(error.retry_after_seconds)
            return _row(form, verdict_of(error), error.code.value, error.message)
        finally:
            await issuer.close()
        return _row(form, "accepted", None, "a ticket came")

    def _token(self, account: Account, form: Form) -> HeldToken | None:
        session = account.identity.session
        held = None if session is None else getattr(session, form.token)
        return held if held is not None and (held.life.remaining(self._timekeeper.now()) or 0.0) > 0 else None

    def _stop(self, account: Account) -> QuotaExhausted | None:
        """The quota, used up by our own count or by the cloud's word; a failure of other forms is no reason to stop."""
        seconds = quota.free_in(account.book.ledger, account.calls.rule, self._timekeeper.now(), prefetch=False)
        if seconds <= 0:
            return None
        return QuotaExhausted(
            f"account {account.config.name}: no call is left for a probe; wait {seconds:.0f} s",
            service="call-in",
            retry_after_seconds=seconds,
            hint="probe again when the quota is replenished",
        )


def verdict_of(error: UpstreamError) -> Verdict:
    """What a failure says about the form of the request.

    `passed`: the operation looked further than the token; `stopped`: it says nothing, and more calls would not either.
    """
    if isinstance(error, GatewayOffline | UserActionRequired):
        return "passed"
    about_the_key = not isinstance(error, TokenRefused) and isinstance(error, UpstreamRejected) and error.status == 401  # noqa: PLR2004
    return "refused" if isinstance(error, UpstreamRejected) and not about_the_key else "stopped"


def _form_row(form: Form) -> Row:
    return {"token": form.token, "scheme": form.scheme}


def _row(form: Form, verdict: Verdict, code: str | None, detail: str) -> Row:
    return {**_form_row(form), "verdict": verdict, "code": code, "detail": detail}
