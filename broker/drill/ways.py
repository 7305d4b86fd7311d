"""The ports towards the cloud, over the scripted one: provider, verifier and issuer of one process.

They play the weather, and hand the cloud's answers to the broker's own tables. Every request is shown to the watch.
Knows no service. The one invariant: the way of a dead process leads nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core import callin, verdict
from broker.core.answer import HttpAnswer
from broker.core.callin import read_ticket
from broker.core.secret import Secret
from broker.core.tokens import IdClaims, PendingLogin
from broker.drill.cloud import PLANT_ID, Grant, ScriptedCloud
from broker.drill.script import DAY, MINUTE
from broker.drill.steps import Died
from broker.drill.virtual import pass_seconds
from broker.errors import BrokerError, InvalidResponse, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from broker.core.callin import IssuedTicket
    from broker.core.tokens import TokenSet
    from broker.drill.world_clock import WorldClock

    class Watch(Protocol):
        """Who looks at every request."""

        def asked_token(self, token: str) -> None: ...
        def answered_token(self, token: str, error: BrokerError | None) -> None: ...
        def asked_api(self, device_id: str) -> None: ...
        def answered_api(self, device_id: str, error: BrokerError | None) -> None: ...


TOKEN_ENDPOINT = "token endpoint"
TOKEN_TIMEOUT_SECONDS = 20.0
CERTIFICATE_SECONDS = 45 * DAY  # a wall clock that is wrong by more sees certificates that are not valid
HTML = HttpAnswer(200, {"content-type": "text/html"}, b"<!DOCTYPE html><title>Welcome</title><p>Accept our terms")
REDIRECT = HttpAnswer(302, {"location": "https://elsewhere.test/"}, b"")
TRUNCATED_BYTES = 40
PERSON_MUST_ACT = {469: "Official application password expired", 470: "Official application terms not accepted"}


class Ways:
    """One process's ways to the cloud of one account; `kill()` cuts them."""

    def __init__(
        self,
        cloud: ScriptedCloud,
        clock: WorldClock,
        *,
        watch: Watch,
        pause: Callable[[float], None],
        api_timeout_seconds: float,
    ) -> None:
        """`pause` lets a blocking step wait in virtual time."""
        self.cloud = cloud
        self.sky = cloud.sky
        self.watch = watch
        self.dead = False
        self._clock = clock
        self._pause = pause
        self._api_timeout_seconds = api_timeout_seconds
        self._begun = 0
        self._kid: int | None = None  # of the signing keys that this process has read
        self._keys_tried = -DAY

    # what may go wrong on any way

    def _look(self) -> None:
        if self.dead:
            raise Died

    def _weather(self, where: str, service: str) -> HttpAnswer | float | None:
        """An answer in the cloud's place, seconds without any (then an error), or None: the cloud is reached.

        Raises: UpstreamUnavailable.
        """
        if abs(self._clock.wall_error_seconds) > CERTIFICATE_SECONDS:
            raise UpstreamUnavailable("the certificate is not valid by the local clock", service=service)
        outage = self.sky.now("outage", where)
        if outage is not None:
            form = outage.values.get("form", "refused")
            if form == "refused":
                raise UpstreamUnavailable("connection refused", service=service)
            if form == "timeout":
                return TOKEN_TIMEOUT_SECONDS if where == "token" else self._api_timeout_seconds
            return HttpAnswer(int(form), {"content-type": "text/plain"}, b"no")
        if self.sky.now("portal"):
            return HTML
        busy = self.sky.now("busy", where)
        if busy is not None:
            headers = {"retry-after": str(busy.values["retry_after"])} if "retry_after" in busy.values else {}
            return HttpAnswer(429, {"content-type": "application/json", **headers}, b'{"message": "slowly"}')
        return None

    def answer_seconds(self, where: str) -> float:
        """How long an answer takes at present."""
        slow = self.sky.now("slow", where)
        return self.cloud.household.answer_seconds if slow is None else float(slow.values["seconds"])

    # the token endpoint

    def refresh(self, refresh_token: Secret) -> TokenSet:
        """ports.IdentityProvider.refresh."""
        self._look()
        token = refresh_token.reveal()
        self.watch.asked_token(token)
        try:
            answer, grant = self._token_answer(lambda: self.cloud.refresh(token, self._clock.elapsed))
            tokens = verdict.read_tokens(answer, service=TOKEN_ENDPOINT)
        except BrokerError as error:
            self.watch.answered_token(token, error)
            raise
        if grant is not None:
            grant.delivered = True
        self.watch.answered_token(token, None)
        return tokens

    def _token_answer(self, work: Callable[[], tuple[HttpAnswer, Grant | None]]) -> tuple[HttpAnswer, Grant | None]:
        instead = self._weather("token", TOKEN_ENDPOINT)
        if isinstance(instead, float):
            self._wait(instead)
            raise UpstreamUnavailable("no answer in time", service=TOKEN_ENDPOINT, ambiguous=True)
        now = self._clock.elapsed
        if instead is None and self.sky.now("secret_expired"):
            instead = self.cloud.oauth_error("invalid_client", "90081", now)
        if instead is None and self.sky.now("temporary"):
            instead = self.cloud.oauth_error("temporarily_unavailable", "90035", now)
        seconds = self.answer_seconds("token")
        if instead is not None:
            self._wait(min(seconds, TOKEN_TIMEOUT_SECONDS))
            return instead, None
        return self._delivered(work, seconds)

    def _delivered(
        self, work: Callable[[], tuple[HttpAnswer, Grant | None]], seconds: float
    ) -> tuple[HttpAnswer, Grant | None]:
        """The cloud's work, and its answer on its way."""
        self._wait(min(seconds, TOKEN_TIMEOUT_SECONDS) / 2)
        answer, grant = work()
        self._wait(min(seconds, TOKEN_TIMEOUT_SECONDS) / 2)
        if seconds >= TOKEN_TIMEOUT_SECONDS or self.sky.now("lost_answers", "token"):
            raise UpstreamUnavailable("the answer was lost", service=TOKEN_ENDPOINT, ambiguous=True)
        junk = self.sky.now("junk", "token")
        return (answer if junk is None else _spoilt(answer, str(junk.values["form"]))), grant

    def _wait(self, seconds: float) -> None:
        self._pause(seconds)
        self._look()

    def begin(self, redirect_uri: str) -> PendingLogin:
        """ports.IdentityProvider.begin."""
        self._look()
        self._begun += 1
        state = Secret(f"state-{self._begun}")
        return PendingLogin("https://cloud.test/authorize", redirect_uri, state, code_verifier=Secret("v"))

    def redeem(self, pending: PendingLogin, response: Mapping[str, str]) -> TokenSet:  # noqa: ARG002 -- the port's
        """ports.IdentityProvider.redeem."""
        self._look()
        answer, _ = self._token_answer(lambda: (self.cloud.sign_in(self._clock.elapsed), None))
        tokens = verdict.read_tokens(answer, service=TOKEN_ENDPOINT)
        if self.cloud.newest is not None:
            self.cloud.newest.delivered = True
        return tokens

    # the id token

    def prepare(self) -> None:
        """ports.IdTokenVerifier.prepare."""
        self._look()
        if self.sky.now("keys_unreachable"):
            raise UpstreamUnavailable("the signing keys cannot be read", service="identity provider")

    def verify(self, id_token: Secret, *, nonce: Secret | None, server_seconds: float | None) -> IdClaims:  # noqa: ARG002
        """ports.IdTokenVerifier.verify; signatures are taken on trust, but under their weather."""
        self.prepare()
        if self.sky.now("bad_signature"):
            raise InvalidResponse("id token: its signature fits none of the keys", service="identity provider")
        kind, issued_at, expires_at, *kid = id_token.reveal().split(".")
        self._know_key(int(kid[0]) if kid else 0)
        now = int(issued_at) if server_seconds is None else server_seconds
        if kind != "id" or now > int(expires_at) + 300 or now < int(issued_at) - 300:
            raise InvalidResponse("id token: not valid now", service="identity provider")
        return IdClaims("https://cloud.test", "mario", int(issued_at), int(expires_at), "Mario")

    def _know_key(self, kid: int) -> None:
        """As the real verifier: keys are read for a kid that is not among them, at most once a minute."""
        if kid == self._kid:
            return
        if self._clock.elapsed - self._keys_tried >= MINUTE:
            self._keys_tried, self._kid = self._clock.elapsed, self.cloud.kid
        if kid != self._kid:
            raise InvalidResponse("id token: its signature fits none of the keys", service="identity provider")

    # the API

    async def issue(self, plant_id: str, device_id: str, token: Secret) -> IssuedTicket:
        """ports.TicketIssuer.issue."""
        self._look()
        self.watch.asked_api(device_id)
        try:
            issued = read_ticket(await self._api_answer(device_id, token), plant_id=plant_id)
        except BrokerError as error:
            self.watch.answered_api(device_id, error)
            raise
        self.watch.answered_api(device_id, None)
        return issued

    async def _api_answer(self, device_id: str, token: Secret) -> HttpAnswer:
        instead = self._weather("api", callin.SERVICE)
        seconds = self._api_timeout_seconds if instead is self._api_timeout_seconds else self.answer_seconds("api")
        await pass_seconds(min(seconds, self._api_timeout_seconds))
        self._look()
        if isinstance(instead, float):
            raise UpstreamUnavailable("no answer in time", service=callin.SERVICE, ambiguous=True)
        if instead is not None:
            return instead
        now = self._clock.elapsed
        answer = self._refusal(device_id, token, now) or self.cloud.call_in(device_id, now)
        if seconds >= self._api_timeout_seconds or self.sky.now("lost_answers", "api"):
            raise UpstreamUnavailable("the answer was lost", service=callin.SERVICE, ambiguous=True)
        junk = self.sky.now("junk", "api")
        return answer if junk is None else _spoilt(answer, str(junk.values["form"]))

    def _refusal(self, device_id: str, token: Secret, now: float) -> HttpAnswer | None:  # noqa: PLR0911 -- a table of statuses
        """What the API says before it counts the call; None: it will do the work."""
        cloud, sky = self.cloud, self.sky
        if sky.now("key_refused"):
            return cloud.api_error(401, "Access denied due to invalid subscription key.", now)
        gone = sky.now("quota_gone")
        if gone is not None:
            return cloud.quota_answer(gone.ends_seconds - now, now)
        expires_at = int(token.reveal().split(".")[2])
        if sky.now("token_refused") or expires_at <= int(cloud.epoch + now):
            return cloud.api_error(401, "Unauthorized", now)
        if sky.now("forbidden"):
            return cloud.api_error(403, "Forbidden", now)
        person = sky.now("person_must_act")
        if person is not None:
            status = int(person.values.get("status", 469))
            return cloud.api_error(status, PERSON_MUST_ACT[status], now)
        if sky.now("gateway_offline") or self._is_offline(device_id):
            return cloud.api_error(404, "Resource not found", now)
        return None

    def _is_offline(self, device_id: str) -> bool:
        gone = self.sky.now("device_offline")
        return gone is not None and self.cloud.household.door_meant(gone) == device_id

    async def close(self) -> None:
        """ports.TicketIssuer.close: nothing is open."""


def _spoilt(answer: HttpAnswer, form: str) -> HttpAnswer:
    """The answer as it arrives through something that spoils it."""
    match form:
        case "html":
            return HTML
        case "redirect":
            return REDIRECT
        case "truncated":
            return HttpAnswer(answer.status, answer.headers, answer.body[:TRUNCATED_BYTES])
        case "empty":
            return HttpAnswer(answer.status, answer.headers, b"{}")
    return HttpAnswer(204, answer.headers, b"")


__all__ = ["PLANT_ID", "Ways"]
