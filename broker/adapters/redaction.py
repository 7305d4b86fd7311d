"""Taking out of a text what looks like a secret: the last net, for texts that other people's code wrote.

Pure. Our own secrets are `Secret` and never get this far. The one invariant: it takes out too much rather than too
little.
"""

from __future__ import annotations

import re
import traceback

GONE = "<redacted>"
_NAMES = (
    "code|state|nonce|password|assertion|client_assertion|client_secret|code_verifier|authorization|"
    "(?:ocp-apim-)?subscription[-_]key|[a-z_]*_?token|ticket"
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,4}")
_PARAMETER = re.compile(rf"(?i)(?<![a-z])({_NAMES})(=|%3d|[\"']\s*[:=]\s*[\"']?)[^\s&\"',;}})]+")
_QUOTED = re.compile(r"""(?<!\w)[bur]?(['"]).*?(?:\1(?!\w)|$)""", re.DOTALL)
_OPAQUE = re.compile(r"[A-Za-z0-9_+/=~%-]{20,}|(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{12,}")
DEEPEST = 8
MOST_WITHIN = 8
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_HARMLESS = re.compile(r"[A-Za-z0-9_.:/-]*")  # a name, a number, a word: each pattern above needs another character


def redacted(text: str) -> str:
    """The text without JWTs, without values of parameters that carry secrets, without authorization headers."""
    if _HARMLESS.fullmatch(text) and "eyJ" not in text:  # most of what is logged, in a tenth of the time
        return text
    text = _JWT.sub(GONE, text)
    text = _PARAMETER.sub(rf"\1\2{GONE}", text)
    return _SCHEME.sub(rf"\1 {GONE}", text)


def crash_report(error: BaseException, depth: int = 0) -> str:
    """A traceback whose frames are whole (they hold code, no values) and whose messages hold no value.

    What stands in quotes in a message was put there by `repr`, so it may be anything that the code had in hand.
    """
    if depth > DEEPEST:
        return "…\n"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = "" if cause is None else f"{crash_report(cause, depth + 1)}then: "
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    within = "".join(f"within: {crash_report(each, depth + 1)}" for each in inner[:MOST_WITHIN])
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{before}{frames}{type(error).__qualname__}: {valueless(_message(error))}\n{within}"


def valueless(text: str) -> str:
    """A text without quoted values and without words long enough to be a key, besides what `redacted` takes out."""
    return _OPAQUE.sub(GONE, _QUOTED.sub(GONE, redacted(text)))


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # a broken __str__ must not hide the crash
        return "(its message cannot be told)"
