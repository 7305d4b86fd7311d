"""Every expected failure, drawn as a tree; each knows its code (what) and its remedy (who must act).

Knows nothing of HTTP, of logs or of any library. The one invariant: what is not a BrokerError is a bug.

    BrokerError                         code, remedy, hint
    ├── ConfigError                     FIX     file, key, problem
    ├── StoreError
    │   ├── StoreUnavailable            FIX     disk full, permission, wrong key, newer version: nothing is touched
    │   ├── StoreDamaged                LOGIN   cannot be parsed; set aside
    │   └── AlreadyRunning              FIX     another process holds the state directory
    ├── LoginError
    │   ├── LoginRequired               LOGIN
    │   ├── LoginRejected               LOGIN   cancelled, or refused by the provider
    │   └── ResponseMismatch            LOGIN   state, nonce or redirect URI is not ours
    ├── UpstreamError                           service, status, retry_after_seconds
    │   ├── UpstreamUnavailable         RETRY   network, timeout, 408, 486, 5xx
    │   ├── RateLimited                 RETRY   429
    │   ├── GatewayOffline              RETRY   404
    │   ├── QuotaExhausted              RETRY   until replenished
    │   ├── UserActionRequired          FIX     469, 470
    │   ├── UpstreamRejected            FIX     other 4xx, invalid_client
    │   │   └── TokenRefused            FIX     401 that does not name the subscription key
    │   ├── GrantRejected               LOGIN   invalid_grant: this refresh token or code is dead
    │   └── InvalidResponse             RETRY   malformed, wrong issuer, already expired
    ├── KnownFailure                        a failure told again, from memory
    ├── ClockUnsynchronized             RETRY   no clock can be believed
    ├── ShuttingDown                    RETRY
    └── RequestError                            BadRequest · UnknownTicket · UnknownAccount · NotAllowed · ShortValidity
"""

from __future__ import annotations

from enum import StrEnum


class Remedy(StrEnum):
    """Who must act before the failure goes away."""

    RETRY = "retry"
    LOGIN = "login"
    FIX = "fix"
    NONE = "none"


class Code(StrEnum):
    """The closed list of problem codes that the socket API and the command speak."""

    BAD_REQUEST = "bad_request"
    NOT_ALLOWED = "not_allowed"
    UNKNOWN_TICKET = "unknown_ticket"
    UNKNOWN_ACCOUNT = "unknown_account"
    LOGIN_REQUIRED = "login_required"
    CONFIG_ERROR = "config_error"
    QUOTA_EXHAUSTED = "quota_exhausted"
    RATE_LIMITED = "rate_limited"
    GATEWAY_OFFLINE = "gateway_offline"
    USER_ACTION_REQUIRED = "user_action_required"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    INVALID_RESPONSE = "invalid_response"
    SHORT_VALIDITY = "short_validity"
    CLOCK_UNSYNCHRONIZED = "clock_unsynchronized"
    STATE_UNAVAILABLE = "state_unavailable"
    SHUTTING_DOWN = "shutting_down"
    INTERNAL_ERROR = "internal_error"


CLOCK_HINT = "let NTP set the clock: timedatectl set-ntp true"


class BrokerError(Exception):
    """An expected failure: a message for people, a code for programs, a remedy for both.

    The message is lower case, without a full stop, without a secret; `hint` says what a person can do.
    """

    code: Code = Code.INTERNAL_ERROR
    remedy: Remedy = Remedy.NONE
    retry_after_seconds: float | None = None
    ambiguous: bool = False  # whether what failed may have been carried out all the same

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def message(self) -> str:
        """The sentence this error was made with."""
        return str(self)


class ConfigError(BrokerError):
    """The configuration, or a secret it names, cannot be used; carries every problem found, one a line."""

    code = Code.CONFIG_ERROR
    remedy = Remedy.FIX

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class KnownFailure(BrokerError):
    """A failure told again from memory: code, remedy and waiting time are those of the first telling."""

    def __init__(
        self, message: str, *, code: Code, remedy: Remedy, retry_after_seconds: float | None, hint: str | None
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.remedy = remedy
        self.retry_after_seconds = retry_after_seconds


class StoreError(BrokerError):
    """The state directory failed us."""

    code = Code.STATE_UNAVAILABLE
    remedy = Remedy.FIX


class StoreUnavailable(StoreError):
    """A file is there but may not be read or written now: disk full, permission, wrong key, newer version."""


class StoreDamaged(StoreError):
    """A file is no longer ours to read; it was set aside and the login in it is gone."""

    code = Code.LOGIN_REQUIRED
    remedy = Remedy.LOGIN


class AlreadyRunning(StoreError):
    """Another process holds the lock of the state directory; the message says which."""


class LoginError(BrokerError):
    """A person must log in, or the login under way cannot be completed."""

    code = Code.LOGIN_REQUIRED
    remedy = Remedy.LOGIN


class LoginRequired(LoginError):
    """There is no usable login: never made, logged out, or ended by the provider."""


class LoginRejected(LoginError):
    """The provider or the person refused this login; the present one is untouched."""

    code = Code.BAD_REQUEST


class ResponseMismatch(LoginError):
    """The redirect does not answer the pending login: state, nonce or redirect URI is not ours."""

    code = Code.BAD_REQUEST


class UpstreamError(BrokerError):
    """The cloud failed us; `service` says which part, `status` its HTTP status where there was one.

    `retry_after_seconds` is what the cloud asked for (None where it did not); `ambiguous` when the request may
    have been carried out all the same.
    """

    remedy = Remedy.RETRY

    def __init__(
        self,
        message: str,
        *,
        service: str,
        status: int | None = None,
        retry_after_seconds: float | None = None,
        hint: str | None = None,
        ambiguous: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.service = service
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.ambiguous = ambiguous


class UpstreamUnavailable(UpstreamError):
    """Network, timeout, 408, 486 or 5xx."""

    code = Code.UPSTREAM_UNAVAILABLE


class RateLimited(UpstreamError):
    """429: too many requests at once."""

    code = Code.RATE_LIMITED


class GatewayOffline(UpstreamError):
    """404: the gateway is offline, or the plant or device does not exist."""

    code = Code.GATEWAY_OFFLINE


class QuotaExhausted(UpstreamError):
    """The calls of the day are used up; `retry_after_seconds` says until when."""

    code = Code.QUOTA_EXHAUSTED


class UserActionRequired(UpstreamError):
    """469, 470: password expired or terms to accept, in the vendor's own app."""

    code = Code.USER_ACTION_REQUIRED
    remedy = Remedy.FIX


class UpstreamRejected(UpstreamError):
    """The cloud understood us and said no for a reason that only the operator can change."""

    code = Code.CONFIG_ERROR
    remedy = Remedy.FIX


class TokenRefused(UpstreamRejected):
    """401 that does not name the subscription key: a fresher token may help (tried once)."""


class InvalidResponse(UpstreamError):
    """The answer is not one: HTML, a redirect, no ticket, a wrong issuer."""

    code = Code.INVALID_RESPONSE


class GrantRejected(UpstreamError):
    """The token endpoint rejected this refresh token (or code) for good; never sent again."""

    code = Code.LOGIN_REQUIRED
    remedy = Remedy.LOGIN


class ClockUnsynchronized(BrokerError):
    """No clock can be believed yet, so nothing that expires can be judged; nothing is thrown away."""

    code = Code.CLOCK_UNSYNCHRONIZED
    remedy = Remedy.RETRY

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, hint=CLOCK_HINT)
        self.retry_after_seconds = retry_after_seconds


class ShuttingDown(BrokerError):
    """The broker is stopping; the next one answers."""

    code = Code.SHUTTING_DOWN
    remedy = Remedy.RETRY


class RequestError(BrokerError):
    """What the request itself got wrong."""

    code = Code.BAD_REQUEST
    remedy = Remedy.NONE


class BadRequest(RequestError):
    """The request cannot be understood."""

    remedy = Remedy.FIX


class UnknownTicket(RequestError):
    """No ticket of that name is configured."""

    code = Code.UNKNOWN_TICKET
    remedy = Remedy.FIX


class UnknownAccount(RequestError):
    """No account of that name is configured."""

    code = Code.UNKNOWN_ACCOUNT
    remedy = Remedy.FIX


class NotAllowed(RequestError):
    """This peer may not do that."""

    code = Code.NOT_ALLOWED
    remedy = Remedy.FIX


class ShortValidity(RequestError):
    """What is there is valid, but for less than was asked; `available_for_seconds` says how long."""

    code = Code.SHORT_VALIDITY
    remedy = Remedy.RETRY

    def __init__(self, message: str, *, available_for_seconds: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.available_for_seconds = available_for_seconds
