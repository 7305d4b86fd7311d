"""What a request says beside its path: query, conditions, preferred form, origin.

Knows no aiohttp: strings in, values out. The one invariant: what cannot be understood is refused, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from broker.api.problems import RequestRefused
from broker.errors import BadRequest, Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_WAIT_SECONDS = 300
MAX_NUMBER_LENGTH = 9
OUR_HOSTS = frozenset({"localhost", "eliot-broker", "localhost:80", "eliot-broker:80"})  # 80 goes without saying
JSON_TYPE = "application/json"
BARE_TYPES = {"application/jwt": "application/jwt", "text/plain": "text/plain; charset=utf-8"}
ENTITY_TAG = re.compile(r'(?:W/)?"([^"]*)"')


@dataclass(frozen=True, slots=True)
class VendQuery:
    """The query of a ticket or id token; `wait_seconds` None: not given."""

    min_validity_seconds: int = 0
    wait_seconds: int | None = None


NO_QUERY = VendQuery()


def check_origin(hosts: Sequence[str], *, target: str, has_origin: bool) -> None:
    """Refuse what a browser was talked into sending; a whole URL as `target` names its server, too (RFC 9112, 3.2.2).

    Raises: BadRequest, RequestRefused (403).
    """
    if has_origin:
        raise RequestRefused(
            "requests with an Origin header come from a web page and are refused", status=403, code=Code.NOT_ALLOWED
        )
    if len(hosts) != 1:
        raise BadRequest("the request needs exactly one Host header", hint="send Host: localhost")
    authority = "" if target.startswith("/") else target.partition("://")[2].partition("/")[0]
    if hosts[0].lower() not in OUR_HOSTS or (authority and authority.lower() not in OUR_HOSTS):
        raise RequestRefused(
            "the request names another server; refused",
            status=403,
            code=Code.NOT_ALLOWED,
            hint="use http://localhost/ or http://eliot-broker/ in the URL",
        )


def vend_query(query: str) -> VendQuery:
    """Read `min_validity` and `wait` (whole seconds). Raises: BadRequest."""
    if not query:
        return NO_QUERY
    values = _fields(query, ("min_validity", "wait"))
    wait = _seconds(values, "wait")
    if wait is not None and wait > MAX_WAIT_SECONDS:
        raise BadRequest(f"wait is at most {MAX_WAIT_SECONDS} seconds")
    return VendQuery(min_validity_seconds=_seconds(values, "min_validity") or 0, wait_seconds=wait)


def no_query(query: str) -> None:
    """Refuse a query where none is known. Raises: BadRequest."""
    if query:
        _fields(query, ())


def _fields(query: str, known: tuple[str, ...]) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=16)
    except ValueError:
        raise BadRequest("the query has too many fields") from None
    values: dict[str, str] = {}
    for key, value in pairs:
        if key not in known:
            allowed = f"this address knows {' and '.join(known)}" if known else "this address knows none"
            raise BadRequest("the query has an unknown field", hint=allowed)
        if key in values:
            raise BadRequest(f"{key} is given twice")
        values[key] = value
    return values


def _seconds(values: Mapping[str, str], key: str) -> int | None:
    text = values.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_LENGTH):
        raise BadRequest(f"{key} must be a whole number of seconds")
    return int(text)


def newest_known(if_none_match: str | None) -> int | None:
    """The newest generation that If-None-Match names; None: the caller knows none. Raises: BadRequest."""
    if if_none_match is None:
        return None
    if if_none_match.strip() == "*":
        raise BadRequest("If-None-Match must name a generation", hint='send If-None-Match: "GENERATION"')
    tags = [if_none_match.strip()] if _is_generation(if_none_match.strip()) else ENTITY_TAG.findall(if_none_match)
    if not tags:
        raise BadRequest("If-None-Match is no entity tag", hint='send If-None-Match: "GENERATION", with the quotes')
    return max((int(tag) for tag in tags if _is_generation(tag)), default=None)


def refused_generation(if_match: str | None) -> int:
    """The generation that If-Match names as refused by the door. Raises: BadRequest."""
    tag = (if_match or "").strip()
    if tag.startswith('"') and tag.endswith('"') and len(tag) > 1:
        tag = tag[1:-1]
    if not _is_generation(tag):
        raise BadRequest(
            "the refresh of a ticket needs If-Match with the generation that was refused",
            hint='send If-Match: "GENERATION", the ETag of the refused ticket',
        )
    return int(tag)


def _is_generation(tag: str) -> bool:
    return tag.isascii() and tag.isdigit() and len(tag) <= 18  # noqa: PLR2004  # fits 63 bits


def bare_type(accept: str | None) -> str | None:
    """The content type of the bare ticket where `accept` prefers one; None: JSON (RFC 9110 section 12.5.1)."""
    if accept is None or accept in {"*/*", JSON_TYPE}:
        return None
    best, bare = 0.0, None
    for item in accept.split(","):
        media, _, parameters = item.strip().lower().partition(";")
        media, weight = media.strip(), _weight(parameters)
        if weight > best and media in {JSON_TYPE, "application/*", "*/*"}:
            best, bare = weight, None
        elif weight > best and (media in BARE_TYPES or media == "text/*"):
            best, bare = weight, BARE_TYPES.get(media, BARE_TYPES["text/plain"])
    return bare


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
