"""The steps with the identity provider that nothing may interrupt: exchange, save, verify, save.

Blocking: every method runs in the worker thread as one piece, so a caller who is cancelled loses nothing. Knows the
provider, the verifier and the journal as ports. The one invariant: what the provider gave is on disk before it is used.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.core import session as steps
from broker.core.failure import Failure, after
from broker.core.instant import Instant, Lifetime, Span, lifetime_at_receipt
from broker.core.runway import warnings_in_force
from broker.core.session import REST_SECONDS, HeldToken, Session
from broker.errors import BrokerError, GrantRejected, InvalidResponse, LoginRejected, UpstreamUnavailable

if TYPE_CHECKING:
    from broker.config import AccountConfig
    from broker.core.secret import Secret
    from broker.core.tokens import IdClaims, PendingLogin, TokenSet
    from broker.ports import IdentityProvider, IdTokenVerifier
    from broker.services.journal import Journal
    from broker.services.timekeeper import Timekeeper

SERVICE = "token endpoint"
OLD_COPY_SECONDS = 3600.0  # a state that was that old at the start may be a restored backup
NO_ID_TOKEN = "if it stays: see that scopes holds openid, else report it: eliot-broker bugreport"
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
        self.settings = settings_of(config)

    def begin(self) -> PendingLogin:
        """Make an authorization request. Raises: UpstreamError."""
        return self._provider.begin(self._config.redirect_uri)

    def login(self, pending: PendingLogin, found: dict[str, str], *, epoch: int) -> Session:
        """Exchange the code, verify, save: the new login, if none was begun or ended since `epoch`.

        The present login stays on failure. Raises: BrokerError, LoginGone.
        """
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
            raise InvalidResponse("login: the answer holds no id token", service=SERVICE, hint=NO_ID_TOKEN)
        binding = binding_of(self._config)
        if present is not None and present.binding == binding and present.subject != claims.subject:
            who = present.display_name or present.subject
            hint = (
                f'log in as {who} (prompt = "login" defeats an old browser session), '
                f"or first run: eliot-broker logout {name}"
            )
            raise LoginRejected(f"account {name}: another person logged in than before", hint=hint)
        self._timekeeper.hear(tokens.server_seconds)
        now = self._timekeeper.now()
        fresh = Session(
            login_id=login_id_of(tokens, now),
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
        """Intent, request, journal, verification, journal; then with the previous token, if the newest was rejected.

        With a runway left, an intent that cannot be written stops the attempt; without, it goes on from memory.
        Raises: LoginGone, BrokerError (noted in the journal where the cloud is its cause).
        """
        try:
            tokens = self._ask(session, sent, runway_seconds)
        except GrantRejected as error:
            present = self._note_rejection(session, sent, error)
            previous = present.token_to_send()
            if previous is None:
                raise
            return self.refresh(present, previous, runway_seconds)
        now = self._timekeeper.now()
        assumed = self._config.oauth.refresh_token_lifetime_seconds
        self._journal.update(
            session.login_id, lambda held: steps.answered(held, sent, tokens, now, assumed_life_seconds=assumed)
        )
        return self._use(session, tokens, runway_seconds)

    def _ask(self, session: Session, sent: Secret, runway_seconds: float) -> TokenSet:
        """The intent on disk, then the request. A clock that the answer sets right is right when it is saved."""
        presumed = self._failure(interrupted(self._config.name), session, runway_seconds)
        presumed = delayed(presumed, self.rest_seconds)
        must_save = runway_seconds > 0
        self._journal.update(session.login_id, lambda held: steps.intended(held, presumed), must_save=must_save)
        try:
            tokens = self._provider.refresh(sent)
        except GrantRejected:
            raise
        except BrokerError as error:
            self._note_failure(session, error, runway_seconds)
            raise
        self._timekeeper.hear(tokens.server_seconds)
        return tokens

    def _use(self, session: Session, tokens: TokenSet, runway_seconds: float) -> Session:
        """Verify what came, and let callers have it."""
        try:
            claims = self._verify_same_person(session, tokens)
        except BrokerError as error:
            self._note_failure(session, error, runway_seconds)
            raise
        self._journal.put_back = self._journal.age_at_start = None  # this copy of the state works
        held = self._held(tokens, claims, _generation(session))
        now, window = self._timekeeper.now(), self._config.oauth.sliding_window_seconds

        def change(present: Session) -> Session:
            return replace(steps.verified(present, *held), warned=warnings_in_force(present, now, window))

        return self._journal.update(session.login_id, change)

    def _failure(self, error: BrokerError, session: Session, runway_seconds: float | None) -> Failure:
        """The failure record; `session` as it was before the attempt, for its intent counts as no failure."""
        return after(
            error,
            session.failure,
            self._timekeeper.now(),
            runway_seconds=runway_seconds,
            salt=salt_of(session),
            circumstances=self.settings,
        )

    def _note_rejection(self, session: Session, sent: Secret, error: GrantRejected) -> Session:
        """That token is dead; where it was the newest, its reason is the one to tell."""
        told = self._explained(session, error)
        failure = session.failure
        if failure is None or failure.code is not told.code:
            failure = self._failure(told, session, None)
        return self._journal.update(session.login_id, lambda present: steps.rejected(present, sent, failure))

    def _note_failure(self, session: Session, error: BrokerError, runway_seconds: float) -> None:
        now = self._timekeeper.now()
        ambiguous = error.ambiguous
        failure = self._failure(error, session, runway_seconds)
        if ambiguous:
            failure = delayed(failure, self.rest_seconds)
        self._journal.update(session.login_id, lambda held: steps.failed(held, failure, now, ambiguous=ambiguous))

    def _explained(self, session: Session, error: GrantRejected) -> GrantRejected:
        """A rejection after an interrupted refresh, or of an old copy of the state, says so: the likely cause."""
        why = ""
        if session.lost_at is not None:
            why = "an earlier refresh was interrupted, and its answer, the only valid token, never arrived"
        elif self._journal.put_back is not None:
            why = f"the state is an older copy: {self._journal.put_back}"
        elif (self._journal.age_at_start or 0.0) > OLD_COPY_SECONDS:
            hours = round((self._journal.age_at_start or 0.0) / 3600)
            why = f"the state was saved {hours} hours before this start: a restored backup holds tokens since replaced"
        if not why:
            return error
        message = f"{error.message} ({why})"
        return GrantRejected(message, service=error.service, status=error.status, hint=error.hint)

    def _verify(self, tokens: TokenSet, nonce: Secret | None) -> IdClaims | None:
        if tokens.id_token is None:
            return None
        told = tokens.server_seconds
        if told is None and self._timekeeper.skew_seconds is not None:  # the cloud told the time earlier in this boot
            told = self._timekeeper.now().true_seconds
        return self._verifier.verify(tokens.id_token, nonce=nonce, server_seconds=told)

    def _verify_same_person(self, session: Session, tokens: TokenSet) -> IdClaims | None:
        name = self._config.name
        claims = self._verify(tokens, None)
        if self._config.api.token == "access_token":
            if tokens.access_token is None:
                raise InvalidResponse(f"account {name}: the refresh brought no access token", service=SERVICE)
        elif claims is None:
            raise InvalidResponse(f"account {name}: the refresh brought no id token", service=SERVICE, hint=NO_ID_TOKEN)
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


def login_id_of(tokens: TokenSet, now: Instant) -> str:
    """A name that no other login has, drawn from its own tokens: in a drill the same seed gives the same jitter."""
    own = "\x1f".join(token.digest for token in (tokens.id_token, tokens.refresh_token) if token is not None)
    return hashlib.sha256(f"{now.boot_id}\x1f{now.boot_seconds}\x1f{own}".encode()).hexdigest()[:16]


def next_generation(previous: int, wall_seconds: float) -> int:
    """A generation that was never used: above the last one, and above any of a state that was lost."""
    return max(previous + 1, int(wall_seconds * 1_000_000))


def salt_of(session: Session) -> str:
    """What makes this login's jitter its own."""
    return session.login_id


def delayed(failure: Failure, seconds: float) -> Failure:
    """The failure with its next attempt not before so many seconds after it."""
    return replace(failure, retry=Span(failure.retry.start, max(seconds, failure.retry.seconds)))


def interrupted(account: str) -> UpstreamUnavailable:
    """What a refresh failed with if nobody ever hears how it ended."""
    return UpstreamUnavailable(
        f"account {account}: a refresh was interrupted; the same token is tried again", service=SERVICE, ambiguous=True
    )
