"""What an address in broker.toml may be: endpoints, issuers, redirect URIs, the listener, the operation's path.

Pure, and knows no table and no file. The one invariant: secrets are only ever sent over TLS or within this machine,
so an address that says otherwise is refused (and, as everywhere, never repeated: it may carry a password).
"""

from __future__ import annotations

import ipaddress
import re
from string import Formatter
from urllib.parse import SplitResult, parse_qs, urlsplit

from broker.config.values import Refused, text, toml_type

_LARGEST_PORT = 65_535
_SECRET_PARAMETERS = frozenset(
    [
        "client_secret",
        "client_assertion",
        "refresh_token",
        "access_token",
        "id_token",
        "password",
        "code",
        "code_verifier",
    ]
)
_PROTOCOL_PARAMETERS = frozenset(
    [
        "client_id",
        "response_type",
        "redirect_uri",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "grant_type",
    ]
)


def is_loopback(host: str) -> bool:
    """Whether a host name or address never leaves this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _split(value: object) -> SplitResult:
    written = text(value)
    try:
        parts = urlsplit(written)
        _ = parts.port  # raises where it is no port
    except ValueError:
        raise Refused(("is no URL", "write it like https://host/path")) from None
    if " " in written or "\\" in written:
        raise Refused(("is no URL", "write it without blanks and backslashes"))
    if parts.username is not None or parts.password is not None:
        raise Refused(("has a user or password in it", "remove what stands before the @; a secret has its own key"))
    if parts.fragment or written.endswith("#"):
        raise Refused(("has a fragment", "remove everything from the # on"))
    return parts


def endpoint_url(value: object) -> str:
    """An address that secrets are sent to: https, or http on this machine; kept as written."""
    parts = _split(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise Refused(("is no https URL", "write it like https://host/path"))
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise Refused(("is not encrypted", "write https://; http:// is for loopback addresses only"))
    return str(value)


def base_url(value: object) -> str:
    """An address that paths are added to: no query, no slash at its end."""
    address = endpoint_url(value)
    if "?" in address:
        raise Refused(("has a query", "remove everything from the ? on"))
    return address.rstrip("/")


def issuer_url(value: object) -> str:
    """An issuer (OpenID Connect Discovery section 3); a slash at its end belongs to it."""
    address = endpoint_url(value)
    if "?" in address or "/.well-known/" in address:
        raise Refused(("is no issuer", "write the address before /.well-known/, without a query"))
    return address


def b2c_authority(value: object) -> str:
    """A tenant and a policy: …/TENANT/POLICY, or …/TENANT?p=POLICY."""
    address = endpoint_url(value).rstrip("/")
    parts = urlsplit(address)
    segments = [segment for segment in parts.path.split("/") if segment]
    if "oauth2" in segments or ".well-known" in segments:
        raise Refused(("is an endpoint, not an authority", "end it after the policy: https://HOST/TENANT/POLICY"))
    policies = parse_qs(parts.query).get("p", [])
    in_query = bool(segments) and len(policies) == 1
    in_path = not parts.query and len([part for part in segments if part != "tfp"]) > 1
    if not (in_query or in_path):
        remedy = "write https://HOST/TENANT/POLICY or https://HOST/TENANT?p=POLICY"
        raise Refused(("does not name a tenant and a policy", remedy))
    return address


def redirect_uri(value: object) -> str:
    """Where the login comes back to (RFC 6749 section 3.1.2): absolute, any scheme, no fragment; kept as written."""
    parts = _split(value)
    if not parts.scheme or not (parts.netloc or parts.path.strip("/")):
        raise Refused(("is no absolute URI", "write it exactly as it is registered with the application"))
    return str(value)


def listen_address(value: object) -> str:
    """HOST:PORT on this machine, or "" for none."""
    if value == "":
        return ""
    written = text(value)
    host, _, port = written.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) <= _LARGEST_PORT:
        raise Refused(("is no HOST:PORT", 'write it like "127.0.0.1:8400", or "" to paste only'))
    bare = host.removeprefix("[").removesuffix("]")
    if not is_loopback(bare) or (":" in bare) != host.startswith("["):
        remedy = 'write "127.0.0.1:PORT"; from another machine use an ssh tunnel or paste'
        raise Refused(("is no loopback address", remedy))
    return written


def metrics_address(value: object) -> str:
    """HOST:PORT of an address of this machine, any of them, or "" for none."""
    if value == "":
        return ""
    written = text(value)
    host, _, port = written.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    fine = port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _LARGEST_PORT
    try:
        fine = fine and (ipaddress.ip_address(bare).version == 6) == host.startswith("[")  # noqa: PLR2004
    except ValueError:
        fine = False
    if not fine:
        raise Refused(("is no ADDRESS:PORT", 'write it like "127.0.0.1:9464" or "[::1]:9464", or "" for none'))
    return written


def path_template(value: object) -> str:
    """The path of the operation: {plant_id} and {device_id} are filled in, no other braces."""
    written = text(value).lstrip("/")
    try:
        fields = list(Formatter().parse(written))
    except ValueError:
        raise Refused(
            ("has a brace too many or too few", "write {plant_id} and {device_id}, no other braces")
        ) from None
    if any(
        name is not None and (name not in {"plant_id", "device_id"} or spec or how) for _, name, spec, how in fields
    ):
        raise Refused(("has an unknown placeholder", "write {plant_id} and {device_id}, no other braces"))
    if not written.isascii() or any(character in " #\\" for character in written) or "://" in written:
        raise Refused(("is no path", "write what follows base_url, without blanks and #"))
    return written


def json_pointer(value: object) -> str:
    """A JSON pointer (RFC 6901 section 3)."""
    if not isinstance(value, str) or not re.fullmatch(r"(?:/(?:[^~/]|~[01])*)*", value):
        raise Refused(("is no JSON pointer", 'write it like "/data/ticket"; ~ is ~0 and / is ~1'))
    return value


def parameters(value: object) -> dict[str, str]:
    """Parameters added to a request of ours; neither secrets nor what the protocol itself sets."""
    if not isinstance(value, dict):
        raise Refused((f"must be a table, not {toml_type(value)}", 'write it like { ui_locales = "it" }'))
    refusals: list[tuple[str, str]] = []
    for name, entry in value.items():
        if name in _SECRET_PARAMETERS:
            refusals.append(
                (f"names {name}, a secret", "use the account's client_secret; a secret is never in this file")
            )
        elif name in _PROTOCOL_PARAMETERS:
            refusals.append((f"names {name}, which the broker sets itself", "remove it"))
        elif not isinstance(entry, str) or not entry.isprintable() or not name.isprintable():
            refusals.append(("has an entry that is no plain string", 'write it like { ui_locales = "it" }'))
    if refusals:
        raise Refused(*refusals)
    return dict(value)
