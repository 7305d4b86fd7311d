"""Taking out of a text what looks like a secret: the last net, for texts that other people's code wrote.

Pure. Our own secrets are `Secret` and never get this far. The one invariant: it takes out too much rather than too
little.
"""

from __future__ import annotations

import re

GONE = "<redacted>"
_NAMES = (
    "code|state|nonce|password|assertion|client_assertion|client_secret|code_verifier|authorization|"
    "(?:ocp-apim-)?subscription[-_]key|[a-z_]*_?token|ticket"
)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,4}")
_PARAMETER = re.compile(rf"(?i)(?<![a-z])({_NAMES})(=|%3d|[\"']\s*[:=]\s*[\"']?)[^\s&\"',;}})]+")
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")


def redacted(text: str) -> str:
    """The text without JWTs, without values of parameters that carry secrets, without authorization headers."""
    text = _JWT.sub(GONE, text)
    text = _PARAMETER.sub(rf"\1\2{GONE}", text)
    return _SCHEME.sub(rf"\1 {GONE}", text)
