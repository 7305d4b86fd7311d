"""What the sealed documents hold, as JSON: sessions, and the books of calls and tickets. Both ways, by hand.

Knows the core's values, not where bytes go. The one invariant: decode(encode(x)) == x; secrets stand in the clear
only inside these bytes, which nobody but the store may have.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from broker.core.failure import Failure
from broker.core.instant import Instant, Lifetime, Span
from broker.core.secret import Secret
from broker.core.session import HeldToken, Phase, Session
from broker.errors import Code, Remedy, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.ports import Store

VERSION = 1
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)
Json = dict[str, Any]
T = TypeVar("T")


def instant_to(value: Instant) -> list[Any]:
    """As [boot id, boot seconds, true seconds]."""
    return [value.boot_id, value.boot_seconds, value.true_seconds]


def instant_of(value: Any) -> Instant:
    """The reverse of instant_to."""
    boot_id, boot_seconds, true_seconds = value
    return Instant(sys.intern(str(boot_id)), float(boot_seconds), None if true_seconds is None else float(true_seconds))


def span_to(value: Span | None) -> Any:
    """As [instant, seconds]."""
    return None if value is None else [instant_to(value.start), value.seconds]


def span_of(value: Any) -> Span | None:
    """The reverse of span_to."""
    return None if value is None else Span(instant_of(value[0]), float(value[1]))


def life_to(value: Lifetime) -> list[Any]:
    """As [issued at, expires at, span]."""
    return [value.issued_at, value.expires_at, span_to(value.span)]


def life_of(value: Any) -> Lifetime:
    """The reverse of life_to."""
    return Lifetime(int(value[0]), int(value[1]), Span(instant_of(value[2][0]), float(value[2][1])))


def secret_to(value: Secret | None) -> str | None:
    """The one place where a secret goes into a document."""
    return None if value is None else value.reveal()


def secret_of(value: Any) -> Secret | None:
    """The reverse of secret_to."""
    return None if value is None else Secret(str(value))


def failure_to(value: Failure | None) -> Json | None:
    """A failure with its backoff."""
    if value is None:
        return None
    return {
        "code": value.code.value,
        "remedy": value.remedy.value,
        "message": value.message,
        "hint": value.hint,
        "first": instant_to(value.first),
        "last": instant_to(value.last),
        "count": value.count,
        "retry": span_to(value.retry),
        "told": value.told,
        "circumstances": value.circumstances,
    }


def failure_of(value: Any) -> Failure | None:
    """The reverse of failure_to."""
    if value is None:
        return None
    return Failure(
        code=Code(value["code"]),
        remedy=Remedy(value["remedy"]),
        message=value["message"],
        hint=value["hint"],
        first=instant_of(value["first"]),
        last=instant_of(value["last"]),
        count=int(value["count"]),
        retry=Span(instant_of(value["retry"][0]), float(value["retry"][1])),
        told=bool(value["told"]),
        circumstances=str(value["circumstances"]),
    )


def held_to(value: HeldToken | None) -> Json | None:
    """A token with its life and generation."""
    if value is None:
        return None
    return {"token": value.token.reveal(), "life": life_to(value.life), "generation": value.generation}


def held_of(value: Any) -> HeldToken | None:
    """The reverse of held_to."""
    if value is None:
        return None
    return HeldToken(Secret(value["token"]), life_of(value["life"]), int(value["generation"]))


def encode_session(session: Session, now: Instant, saves: int = 0) -> bytes:
    """One account's document; `now` is kept as the time below which no clock is believed later.

    `saves` is how often this login was saved, which a restored backup sets back.
    """
    return _dump(
        {
            "saved": instant_to(now),
            "saves": saves,
            "login_id": session.login_id,
            "binding": session.binding,
            "issuer": session.issuer,
            "subject": session.subject,
            "display_name": session.display_name,
            "logged_in": instant_to(session.logged_in),
            "phase": session.phase.value,
            "refresh_token": secret_to(session.refresh_token),
            "refresh_token_life": span_to(session.refresh_token_life),
            "previous_refresh_token": secret_to(session.previous_refresh_token),
            "rejected": list(session.rejected),
            "lost_at": None if session.lost_at is None else instant_to(session.lost_at),
            "ended": session.ended,
            "id_token": held_to(session.id_token),
            "access_token": held_to(session.access_token),
            "failure": failure_to(session.failure),
            "warned": list(session.warned),
        }
    )


def decode_session(data: Json) -> tuple[Session, Instant, int]:
    """The session, when and how often it was saved. For `read`, which knows what its errors mean."""
    session = Session(
        login_id=data["login_id"],
        binding=data["binding"],
        issuer=data["issuer"],
        subject=data["subject"],
        display_name=data["display_name"],
        logged_in=instant_of(data["logged_in"]),
        phase=Phase(data["phase"]),
        refresh_token=secret_of(data["refresh_token"]),
        refresh_token_life=span_of(data["refresh_token_life"]),
        previous_refresh_token=secret_of(data["previous_refresh_token"]),
        rejected=tuple(data["rejected"]),
        lost_at=None if data["lost_at"] is None else instant_of(data["lost_at"]),
        ended=data["ended"],
        id_token=held_of(data["id_token"]),
        access_token=held_of(data["access_token"]),
        failure=failure_of(data["failure"]),
        warned=tuple(data["warned"]),
    )
    return session, instant_of(data["saved"]), int(data["saves"])


def _dump(data: Json) -> bytes:
    return _ENCODER.encode({"version": VERSION, **data}).encode()


def dump(data: Json) -> bytes:
    """A document with the version in it."""
    return _dump(data)


def load(content: bytes) -> Json:
    """A document's fields. Raises: ValueError, StoreUnavailable (another version's: nothing is touched)."""
    data = json.loads(content)
    if not isinstance(data, dict) or not isinstance(data.get("version"), int):
        raise ValueError("a document has a version")  # noqa: TRY004  a value of the file, not a type of the program's
    version = data["version"]
    if version != VERSION:
        than = "newer" if version > VERSION else "older"
        hint = "start the eliot-broker that wrote it, or restore the state it was upgraded from"
        raise StoreUnavailable(f"document: version {version} is {than} than this program's {VERSION}", hint=hint)
    return data


def read(store: Store, name: str, decode: Callable[[Json], T]) -> T | None:
    """A document, decoded; None where there is none. One that opens and is not understood is set aside.

    Raises: StoreUnavailable, StoreDamaged.
    """
    content = store.load(name)
    if content is None:
        return None
    try:
        return decode(load(content))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise store.set_aside(name, f"not understood: {type(error).__name__}") from None
