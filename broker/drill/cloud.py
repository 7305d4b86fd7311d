"""The scripted cloud of one account: what it remembers, and what it answers under the weather. No sockets.

It makes the cloud's documents as HTTP answers, so that the broker's own tables judge them. It knows the truth of
everything that it gave (`Grant`, `TruthOfTicket`), for the judge. Knows no service. The one invariant: it answers by
its own clock and its own memory, never by what the broker believes.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from broker.core.answer import HttpAnswer
from broker.drill.script import DAY

if TYPE_CHECKING:
    from broker.drill.script import Happening, Household

PLANT_ID = "plant-1"
OK, BAD_REQUEST = 200, 400
REMEMBERED_TICKETS = 4096
REMEMBERED_TOKENS = 4096


@dataclass(slots=True, eq=False)
class Login:
    """One sign-in: the family of its refresh tokens. `why_dead` is the truth about its end."""

    number: int
    created: float
    why_dead: str | None = None


@dataclass(slots=True, eq=False)
class Grant:
    """A refresh token: whose, until when; `delivered` once its answer has left whole."""

    token: str
    login: Login
    expires: float
    used: bool = False
    delivered: bool = False
    before: Grant | None = None  # of the same login, unless it is long gone


@dataclass(frozen=True, slots=True)
class TruthOfTicket:
    """What the cloud knows about a ticket: when (true seconds since the beginning) it was made and ends."""

    device_id: str
    made: float
    ends: float


@dataclass(slots=True)
class Sky:
    """The weather now: the happenings that are under way."""

    active: list[Happening] = field(default_factory=list)

    def now(self, kind: str, where: str | None = None) -> Happening | None:
        """The latest happening of this kind that meets `where` ("token" or "api"), or None."""
        for happening in reversed(self.active):
            if happening.kind == kind and (where is None or happening.values.get("where", "all") in (where, "all")):
                return happening
        return None


class ScriptedCloud:
    """The cloud's memory and answers. Times are true seconds since the beginning; `epoch` makes Unix seconds."""

    def __init__(self, household: Household, sky: Sky, *, epoch: float) -> None:
        self.household = household
        self.sky = sky
        self.epoch = epoch
        self.grants: dict[str, Grant] = {}
        self.newest: Grant | None = None
        self.tickets: dict[str, TruthOfTicket] = {}
        self.counted: deque[float] = deque()  # calls that the API counted in the last day
        self.made_tickets = 0
        self.kid = 0  # of the key that it signs id tokens with
        self._logins = 0
        self._given = 0
        self._order: deque[str] = deque()

    # sign-in

    def sign_in(self, now: float) -> HttpAnswer:
        """The answer to a person's code."""
        self._logins += 1
        login = Login(self._logins, now)
        return self._tokens_answer(login, now)

    def inherit(self, logged_in_ago: float, left: float) -> Grant:
        """A login of before the beginning, with so much left of its refresh token."""
        self._logins += 1
        self._given += 1
        token = f"rt-{self._logins}-{self._given}"
        login = Login(self._logins, -logged_in_ago)
        self.newest = self.grants[token] = Grant(token, login, left, delivered=True)
        self._remember(token)
        return self.newest

    def refresh(self, token: str, now: float) -> tuple[HttpAnswer, Grant | None]:
        """Do the work of a refresh: the answer, and the new grant in it."""
        known = self.grants.get(token)
        reason = self._why_not(known, now)
        if known is None or reason is not None:
            code = {"revoked": "90129", "reused": "90129", "expired": "90080", "window": "90080"}.get(reason or "", "")
            return self._oauth_error("invalid_grant", code or "90088", now), None
        if self.sky.now("keeps_token"):
            known.expires = now + self._refresh_token_seconds(known.login, now)
        else:
            known.used = True
        return self._tokens_answer(known.login, now), self.newest

    def _why_not(self, known: Grant | None, now: float) -> str | None:
        if known is None:
            return "unknown"
        login = known.login
        window = self.household.sliding_window_seconds
        if login.why_dead is None and known.used and self.strict:
            login.why_dead = "reused"
        if login.why_dead is not None:
            return login.why_dead
        if window is not None and now >= login.created + window:
            login.why_dead = "window"
            return "window"
        if now >= known.expires:
            if known is self.newest:
                login.why_dead = "expired"
            return "expired"
        return None

    @property
    def strict(self) -> bool:
        """Whether a used refresh token ends the family."""
        return self.household.rotation == "strict" or self.sky.now("strict") is not None

    def revoke(self) -> None:
        """Every login of this account has ended."""
        for grant in self.grants.values():
            grant.login.why_dead = grant.login.why_dead or "revoked"

    def roll_back(self) -> None:
        """A backup is restored: the newest token was never given, and the one before never used."""
        newest = self.newest
        before = None if newest is None else newest.before
        if newest is not None and before is not None and newest.delivered:
            del self.grants[newest.token]
            self.newest, before.used, before.expires = before, False, newest.expires

    def _tokens_answer(self, login: Login, now: float) -> HttpAnswer:
        seconds = self._refresh_token_seconds(login, now)
        fields: dict[str, Any] = {"id_token": self._id_token(now), "token_type": "Bearer", "scope": ""}
        if not (self.sky.now("keeps_token") and self.newest is not None and self.newest.login is login):
            self._given += 1
            token = f"rt-{login.number}-{self._given}"
            before = self.newest if self.newest is not None and self.newest.login is login else None
            if before is not None:
                before.before = None
            self.newest = self.grants[token] = Grant(token, login, now + seconds, before=before)
            self._remember(token)
            fields["refresh_token"] = token
        fields["refresh_token_expires_in"] = int(seconds)
        if self.sky.now("as_strings"):
            fields = {key: str(value) for key, value in fields.items()} | {"profile_info": "x", "expires_on": "soon"}
        return self.json_answer(fields, now)

    def _refresh_token_seconds(self, login: Login, now: float) -> float:
        seconds, window = self.household.refresh_token_seconds, self.household.sliding_window_seconds
        if window is None or not self.household.window_told:
            return seconds
        return min(seconds, login.created + window - now)

    def _remember(self, token: str) -> None:
        self._order.append(token)
        if len(self._order) > REMEMBERED_TOKENS:
            self.grants.pop(self._order.popleft(), None)

    def _id_token(self, now: float) -> str:
        issued = int(self.epoch + now)
        return f"id.{issued}.{issued + int(self.household.id_token_seconds)}" + (f".{self.kid}" if self.kid else "")

    def _oauth_error(self, error: str, code: str, now: float) -> HttpAnswer:
        text = f"AADB2C{code}: The drill says no.\r\nCorrelation ID: 0\r\n"
        return self.json_answer({"error": error, "error_description": text}, now, BAD_REQUEST)

    # the API

    def call_in(self, device_id: str, now: float) -> HttpAnswer:
        """The answer to a call that met no weather."""
        wait = self._quota_wait(now)
        if wait is not None:
            return self.quota_answer(wait, now)
        self.counted.append(now)
        unit = {"ticket": self._ticket(device_id, now), "sender": {"plant": {"id": PLANT_ID}}}
        return self.json_answer({"audiovideounits": [unit]}, now)

    def _quota_wait(self, now: float) -> float | None:
        while self.counted and self.counted[0] <= now - DAY:
            self.counted.popleft()
        if self.household.daily_quota and len(self.counted) >= self.household.daily_quota:
            return self.counted[0] + DAY - now
        return None

    def _ticket(self, device_id: str, now: float) -> str:
        self.made_tickets += 1
        issued = int(self.epoch + now)
        claims = {"iat": issued, "exp": issued + int(self.household.ticket_seconds), "n": self.made_tickets}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        text = f"opaque-{self.made_tickets}" if self.household.opaque_tickets else f"e30.{body}.c2ln"
        starts = now if self.household.opaque_tickets else issued - self.epoch
        self.tickets[text] = TruthOfTicket(device_id, now, starts + self.household.ticket_seconds)
        if len(self.tickets) > REMEMBERED_TICKETS:
            del self.tickets[next(iter(self.tickets))]
        return text

    def quota_answer(self, wait: float, now: float) -> HttpAnswer:
        """403 with the time until calls are had again."""
        left = round(wait) + 1
        clock = f"{left // 3600:02}:{left % 3600 // 60:02}:{left % 60:02}"
        return self.api_error(403, f"Out of call volume quota. Quota will be replenished in {clock}.", now)

    # answers

    def api_error(self, status: int, message: str, now: float, **headers: str) -> HttpAnswer:
        """An error of the API's own form."""
        return self.json_answer({"statusCode": status, "message": message}, now, status, **headers)

    def json_answer(self, fields: dict[str, Any], now: float, status: int = OK, **headers: str) -> HttpAnswer:
        """A JSON answer with the cloud's Date."""
        told = {"content-type": "application/json; charset=utf-8", **headers}
        if not self.sky.now("no_date"):
            told["date"] = _date(int(self.epoch + now))
        return HttpAnswer(status, told, json.dumps(fields).encode())

    def oauth_error(self, error: str, code: str, now: float) -> HttpAnswer:
        """An error document of the token endpoint."""
        return self._oauth_error(error, code, now)


def _date(unix_seconds: int) -> str:
    return formatdate(unix_seconds, usegmt=True)
