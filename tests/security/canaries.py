"""Canaries: the secrets that pass between broker, cloud and person, gathered where the cloud sees them; the search.

The one invariant: a canary that was never at work fails the test that wanted to look for it.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

from broker.sandbox.grants import Grants, Login
from broker.sandbox.keys import SigningKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker.sandbox import Cloud, Options

SHORTEST = 12


class Canaries:
    """The values by kind."""

    def __init__(self) -> None:
        self.values: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, kind: str, value: str | None) -> None:
        """Remember a value; one too short to be looked for is a mistake of the test."""
        if value is not None:
            assert len(value) >= SHORTEST, (kind, value)
            self.values[kind].add(value)

    def add_url(self, url: str) -> None:
        """Remember what an authorization request or a redirect carries."""
        for name, value in parse_qsl(urlsplit(url).query):
            if name in {"state", "nonce", "code"}:
                self.add(name, value)

    def at_work(self, *kinds: str) -> None:
        """Fail where a kind never showed up."""
        missing = [kind for kind in kinds if not self.values[kind]]
        assert not missing, f"never seen at work: {missing}"

    def found_in(self, places: Mapping[str, bytes]) -> list[str]:
        """Which kind stands where, in whatever spelling."""
        needles = [(kind, form) for kind, values in self.values.items() for value in values for form in forms(value)]
        return sorted(
            {f"{kind} in {place}" for place, text in places.items() for kind, form in needles if form in text}
        )


def forms(value: str) -> set[bytes]:
    """The spellings under which a value could slip out."""
    raw = value.encode()
    inner = base64.b64encode(raw)[: len(raw) // 3 * 4]  # the part that does not depend on what follows
    return {raw, quote_plus(value).encode(), raw.hex().encode(), inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}


class ListeningGrants(Grants):
    """The cloud's memory of grants, which tells what it hands out and what it is shown."""

    def __init__(self, options: Options, canaries: Canaries) -> None:
        super().__init__(options)
        self.canaries = canaries

    def issue_code(self, login: Login) -> str:
        code = super().issue_code(login)
        self.canaries.add("code", code)
        self.canaries.add("nonce", login.nonce)
        return code

    def redeem(self, code: str, *, verifier: str | None, **facts: Any) -> Login:
        self.canaries.add("code", code)
        self.canaries.add("code_verifier", verifier)
        return super().redeem(code, verifier=verifier, **facts)

    def issue_refresh_token(self, login: Login, now: float) -> tuple[str, int]:
        token, seconds = super().issue_refresh_token(login, now)
        self.canaries.add("refresh token", token)
        return token, seconds


class ListeningKeys(SigningKeys):
    """The cloud's signing keys, which tell what they sign."""

    def __init__(self, canaries: Canaries) -> None:
        super().__init__()
        self.canaries = canaries

    def sign(self, claims: dict[str, Any], *, unpublished: bool = False) -> str:
        token = super().sign(claims, unpublished=unpublished)
        self.canaries.add("access token" if "scp" in claims else "id token", token)
        return token


def listen_in(cloud: Cloud, canaries: Canaries) -> None:
    """Make the cloud tell its secrets; before its first login."""
    cloud._state.grants = ListeningGrants(cloud.options, canaries)
    cloud._state.keys = ListeningKeys(canaries)


def files_below(directory: Path, but: Iterable[Path]) -> dict[str, bytes]:
    """Every file below a directory, but those that are meant to hold a secret."""
    spared = {path.resolve() for path in but}
    found = (path for path in directory.rglob("*") if path.is_file() and path.resolve() not in spared)
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def proc_of(pid: int) -> dict[str, bytes]:
    """What /proc shows of a process to whoever may look."""
    return {f"/proc/PID/{name}": Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ", "status")}
