"""The steps with the identity provider that nothing may interrupt: exchange, save, verify, save.

Blocking: every method runs in the worker thread as one piece, so a caller who is cancelled loses nothing. Knows the
provider, the verifier and the journal as ports. The one invariant: what the provider gave is on disk before it is used.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.core import session as steps
from broker.core.failure import Failure, after
from broker.core.instant import Instant, Lifetime, Span, lifetime_at_receipt
from broker.core.session import REST_SECONDS, HeldToken, Session
from broker.errors import BrokerError, GrantRejected, InvalidResponse, LoginRejected

if TYPE_CHECKING:
    from broker.config import AccountConfig
    from broker.core.secret import Secret
    from broker.core.tokens import IdClaims, PendingLogin, TokenSet
    from broker.ports import IdentityProvider, IdTokenVerifier
    from broker.services.journal import Journal
    from broker.services.timekeeper import Timekeeper

SERVICE = "token endpoint"
UNTOLD_ACCESS_SECONDS = 300.0  # an access token whose answer tells no life at all


class Exchange:
    """Logs in and refreshes one account, one step at a time. Blocking."""

    def __init__(
        self,
        config: AccountConfig,
        *,
        provider: IdentityProvider,
        verifier: IdTokenVerifier,
        journal: Journal,
        timekeeper: Timekeeper,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        self._config = config
        self._provider = provider
        self._verifier = verifier
        self._journal = journal
        self._timekeeper = timekeeper
        self.rest_seconds = rest_seconds

    def begin(self) -> PendingLogin:
        """Make an authorization request. Raises: UpstreamError."""
        return self._provider.begin(self._config.redirect_uri)

    def login(self, pending: PendingLogin, found: dict[str, str]) -> Session:
        """Exchange the code, verify, save: the new login.

        The present login stays on failure. Raises: BrokerError, LoginGone.
        """
        epoch = self._journal.epoch
        self._verifier.prepare()
        try:
            tokens = self._provider.redeem(pending, found)
        except GrantRejected as error:
            hint = error.hint or "a code works once and for a few minutes: begin the login again"
            raise LoginRejected(f"login: the code was refused: {error.message}", hint=hint) from None
        claims = self._verify(tokens, pending.nonce)
        session = self._new_session(tokens, claims)
        self._journal.replace(session, if_epoch=epoch)
        return session

    def _new_session(self, tokens: TokenSet, claims: IdClaims | None) -> Session:
        name, present = self._config.name, self._journal.session
        if claims is None:
            raise InvalidResponse("login: the answer holds no id token", service=SERVICE)
        binding = binding_of(self._config)
        if present is not None and present.binding == binding and present.subject != claims.subject:
            who = present.display_name or present.subject
            hint = f'log in as {who} (prompt = "login" defeats an old browser session), or log out {name} first'
            raise LoginRejected(f"account {name}: another person logged in than before", hint=hint)
        self._timekeeper.hear(tokens.server_seconds)
        now = self._timekeeper.now()
        fresh = Session(
            login_id=secrets.token_hex(8),
            binding=binding,
            issuer=claims.issuer,
            subject=claims.subject,
            display_name=claims.display_name,
            logged_in=now,
            refresh_token=tokens.refresh_token,
            refresh_token_life=steps.life_of(tokens, now, self._config.oauth.refresh_token_lifetime_seconds),
        )
        return steps.verified(fresh, *self._held(tokens, claims, _generation(present)))

    def refresh(self, session: Session, sent: Secret, runway_seconds: float) -> Session:
        """Intent, request, journal, verification, journal.

        With a runway left, an intent that cannot be written stops the attempt; without, it goes on from memory.
        Raises: LoginGone, BrokerError (noted in the journal where the cloud is its cause).
        """
        login_id = session.login_id
        self._journal.update(login_id, steps.intended, must_save=runway_seconds > 0)
        try:
            tokens = self._provider.refresh(sent)
        except GrantRejected as error:
            self._note_rejection(login_id, sent, error)
            raise
        except BrokerError as error:
            self._note_failure(login_id, error, runway_seconds)
            raise
        now = self._timekeeper.now()
        assumed = self._config.oauth.refresh_token_lifetime_seconds
        self._journal.update(
            login_id, lambda held: steps.answered(held, sent, tokens, now, assumed_life_seconds=assumed)
        )
        self._timekeeper.hear(tokens.server_seconds)
        try:
            claims = self._verify_same_person(session, tokens)
        except BrokerError as error:
            self._note_failure(login_id, error, runway_seconds)
            raise
        held = self._held(tokens, claims, _generation(session))
        return self._journal.update(login_id, lambda present: steps.verified(present, *held))

    def _failure(
        self, error: BrokerError, previous: Failure | None, session: Session, runway_seconds: float | None
    ) -> Failure:
        return after(
            error,
            previous,
            self._timekeeper.now(),
            runway_seconds=runway_seconds,
            salt=salt_of(session),
            circumstances=settings_of(self._config),
        )

    def _note_rejection(self, login_id: str, sent: Secret, error: GrantRejected) -> None:
        def change(present: Session) -> Session:
            failure = self._failure(_explained(present, error), None, present, None)
            return steps.rejected(present, sent, failure)

        self._journal.update(login_id, change)

    def _note_failure(self, login_id: str, error: BrokerError, runway_seconds: float) -> None:
        now = self._timekeeper.now()
        ambiguous = bool(getattr(error, "ambiguous", False))

        def change(present: Session) -> Session:
            failure = self._failure(error, present.failure, present, runway_seconds)
            if ambiguous:
                failure = delayed(failure, self.rest_seconds)
            return steps.failed(present, failure, now, ambiguous=ambiguous)

        self._journal.update(login_id, change)

    def _verify(self, tokens: TokenSet, nonce: Secret | None) -> IdClaims | None:
        if tokens.id_token is None:
            return None
        return self._verifier.verify(tokens.id_token, nonce=nonce, server_seconds=tokens.server_seconds)

    def _verify_same_person(self, session: Session, tokens: TokenSet) -> IdClaims | None:
        name = self._config.name
        claims = self._verify(tokens, None)
        if self._config.api.token == "access_token":
            if tokens.access_token is None:
                raise InvalidResponse(f"account {name}: the refresh brought no access token", service=SERVICE)
        elif claims is None:
            raise InvalidResponse(f"account {name}: the refresh brought no id token", service=SERVICE)
        if claims is not None and claims.subject != session.subject:
            raise InvalidResponse(f"account {name}: the id token is another person's", service=SERVICE)
        return claims

    def _held(
        self, tokens: TokenSet, claims: IdClaims | None, previous: int
    ) -> tuple[HeldToken | None, HeldToken | None]:
        now, wall = self._timekeeper.now(), self._timekeeper.wall_seconds()
        generation = next_generation(previous, wall)
        id_token = access_token = None
        if tokens.id_token is not None and claims is not None:
            life = lifetime_at_receipt(
                issued_at=claims.issued_at,
                expires_at=claims.expires_at,
                server_seconds=tokens.server_seconds,
                now=now,
                wall_seconds=wall,
            )
            id_token = HeldToken(tokens.id_token, life, generation)
        if tokens.access_token is not None:
            seconds = tokens.access_token_seconds
            if seconds is None and id_token is not None:
                life = id_token.life
            else:
                life = _life_from(tokens, UNTOLD_ACCESS_SECONDS if seconds is None else seconds, now, wall)
            access_token = HeldToken(tokens.access_token, life, generation)
        return id_token, access_token


def _life_from(tokens: TokenSet, seconds: float, now: Instant, wall_seconds: float) -> Lifetime:
    start = int(tokens.server_seconds if tokens.server_seconds is not None else wall_seconds)
    return Lifetime(start, start + int(seconds), Span(now, seconds))


def _generation(session: Session | None) -> int:
    held = None if session is None else session.id_token or session.access_token
    return 0 if held is None else held.generation


def binding_of(config: AccountConfig) -> str:
    """A digest of the application that a login is made for."""
    text = f"{config.provider}\x1f{config.authority}\x1f{config.client_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def settings_of(config: AccountConfig) -> str:
    """A digest of all settings of an account, secrets included: a failure under other settings is no reason to wait."""
    client_secret = "" if config.client_secret is None else config.client_secret.value.digest
    text = f"{config!r}\x1f{client_secret}\x1f{config.api.subscription_key.value.digest}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def next_generation(previous: int, wall_seconds: float) -> int:
    """A generation that was never used: above the last one, and above any of a state that was lost."""
    return max(previous + 1, int(wall_seconds * 1_000_000))


def salt_of(session: Session) -> str:
    """What makes this login's jitter its own."""
    return session.login_id


def delayed(failure: Failure, seconds: float) -> Failure:
    """The failure with its next attempt not before so many seconds after it."""
    return replace(failure, retry=Span(failure.retry.start, max(seconds, failure.retry.seconds)))


def _explained(session: Session, error: GrantRejected) -> GrantRejected:
    """A rejection after an interrupted refresh says so: it is then the likely cause."""
    if session.lost_at is None:
        return error
    return GrantRejected(
        f"{error.message} (an earlier refresh was interrupted, and its answer, the only valid token, never arrived)",
        service=error.service,
        status=error.status,
        hint=error.hint,
    )
