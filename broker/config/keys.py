"""Every key of broker.toml and the parser of its value, table by table; secrets aside, which need their reader.

Named like the dataclasses' fields, so a key that is in one and not in the other fails a test. Knows ranges: what
would be senseless (a timeout of a day) is refused here. The one invariant: whatever passes can be used as it is.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import get_args

from broker.config import ProviderKind, Warm
from broker.config.addresses import (
    b2c_authority,
    base_url,
    endpoint_url,
    issuer_url,
    json_pointer,
    listen_address,
    metrics_address,
    parameters,
    path_template,
    redirect_uri,
)
from broker.config.values import (
    DAY,
    HOUR,
    MINUTE,
    Parser,
    Refused,
    absolute_path,
    access_rule,
    boolean,
    client_id,
    duration,
    list_of,
    mode,
    one_of,
    publish_format,
    quota_reset,
    scope,
    system_name,
    text,
    uuid,
    whole_number,
)

_LONGEST_TIMEOUT = 10 * MINUTE
_LONGEST_LOGIN = 3650 * DAY
_MOST_CALLS = 10_000_000
_LARGEST_POOL = 100


def authority_parser(provider: object) -> Parser:
    """What `authority` must be depends on the provider."""
    return {"b2c": b2c_authority, "oidc": issuer_url}.get(str(provider), base_url)


def certificates_file(directory: Path) -> Parser:
    """Make a parser of a file of certificates in PEM that OpenSSL accepts; a relative path starts from `directory`."""

    def parse(value: object) -> Path:
        path = directory / text(value)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            raise Refused(("holds no certificates", "write the path of a file in PEM format")) from None
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            remedy = "check the path and that the broker's user may read it"
            raise Refused((f"cannot be read: {reason}", remedy)) from None
        return path

    return parse


def command(value: object) -> tuple[str, ...]:
    """A program that is there and its arguments; an empty array is no command. Raises: Refused."""
    words = list_of(text)(value)
    if words and not Path(words[0]).is_absolute():
        raise Refused(("is no absolute path", "write the program's whole path: it is run without a shell"))
    if words and (not os.access(words[0], os.X_OK) or Path(words[0]).is_dir()):
        raise Refused(("names a program that cannot be run", "check the path and that the broker's user may run it"))
    return words


SOCKET: dict[str, Parser] = {"path": absolute_path, "mode": mode, "group": system_name}
STATE: dict[str, Parser] = {"directory": absolute_path}
ACCESS: dict[str, Parser] = {"admins": list_of(access_rule)}
ACCOUNT: dict[str, Parser] = {
    "provider": one_of(get_args(ProviderKind)),
    "client_id": client_id,
    "redirect_uri": redirect_uri,
    "scopes": list_of(scope),
    "prompt": text,
    "allow_id_token": list_of(access_rule),
}
OAUTH: dict[str, Parser] = {
    "authorization_endpoint": endpoint_url,
    "token_endpoint": endpoint_url,
    "jwks_uri": endpoint_url,
    "issuer": list_of(text),
    "audience": list_of(text),
    "pkce": boolean,
    "nonce": boolean,
    "send_redirect_uri_to_token": boolean,
    "client_auth": one_of(("post", "basic")),
    "authorize_params": parameters,
    "token_params": parameters,
    "leeway_seconds": duration(0, HOUR),
    "refresh_token_lifetime_seconds": duration(MINUTE, _LONGEST_LOGIN),
    "sliding_window_seconds": duration(MINUTE, _LONGEST_LOGIN),
}
API: dict[str, Parser] = {
    "base_url": base_url,
    "token": one_of(("id_token", "access_token")),
    "scheme": one_of(("", "Bearer")),
    "daily_quota": whole_number(0, _MOST_CALLS),
    "quota_reset": quota_reset,
    "quota_reserve": whole_number(0, _MOST_CALLS),
    "connect_timeout_seconds": duration(0.1, _LONGEST_TIMEOUT),
    "timeout_seconds": duration(0.1, _LONGEST_TIMEOUT),
    "path": path_template,
    "ticket_pointer": json_pointer,
}
TICKET: dict[str, Parser] = {
    "account": text,
    "plant_id": uuid,
    "device_id": uuid,
    "warm": one_of(get_args(Warm)),
    "single_use": boolean,
    "pool": whole_number(1, _LARGEST_POOL),
    "min_validity_seconds": duration(0, DAY),
    "assumed_lifetime_seconds": duration(1, 30 * DAY),
    "allow": list_of(access_rule),
}
PUBLISH: dict[str, Parser] = {"path": absolute_path, "mode": mode, "group": system_name, "format": publish_format}
LOGIN: dict[str, Parser] = {"listen": listen_address}
METRICS: dict[str, Parser] = {"listen": metrics_address}
HOOKS: dict[str, Parser] = {"command": command}
LOG: dict[str, Parser] = {
    "level": one_of(("debug", "info", "warning", "error")),
    "format": one_of(("auto", "json", "text")),
}
