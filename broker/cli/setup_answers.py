"""What `setup` asks for, and broker.toml made from it.

Knows keys, their defaults and their parsers, writes no file; an answer that broker.toml could not hold is asked for
again at once. The one invariant: no secret is in the text, only where it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from broker.config import API_BASE_URL, PARTNER_AUTHORITY, REDIRECT_URI
from broker.config.addresses import base_url, redirect_uri
from broker.config.keys import authority_parser
from broker.config.values import Refused, client_id, uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.cli.questions import Questions
    from broker.config.values import Parser
    from broker.core.secret import Secret

PROVIDERS = ("partner", "b2c", "oidc")
PROVIDER_WORDS = (
    "the partner gateway: you registered an application on the developer portal",
    "Azure AD B2C directly: you have a client id of a policy",
    "another OpenID provider",
)
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class Answers:
    """Everything that was asked; `plant_id` "" means: look for it after the login."""

    account: str
    provider: str
    authority: str
    client_id: str
    redirect_uri: str
    client_secret: Secret | None
    subscription_key: Secret
    ticket: str
    plant_id: str
    device_id: str
    unusual: dict[str, str] = field(default_factory=dict)


def ask(questions: Questions) -> Answers:
    """Ask for what only the person knows; the rest is asked with the usual answer."""
    account = questions.text("a name for the account", "home", good=_name)
    provider = PROVIDERS[questions.choice("how does it log in?", PROVIDER_WORDS)]
    authority = PARTNER_AUTHORITY
    if provider != "partner":
        good = _usable(authority_parser(provider))
        authority = questions.text("authority (https://…, with tenant and policy)", good=good)
    client = questions.text("client id (developer portal, your application)", good=_usable(client_id))
    needs_secret = provider == "partner" or questions.yes("does the application have a client secret?", default=False)
    client_secret = questions.secret("client secret") if needs_secret else None
    redirect = questions.text("redirect URI, registered to the letter", REDIRECT_URI, good=_usable(redirect_uri))
    key = questions.secret("subscription key (developer portal, your profile)")
    ticket = questions.text("a name for the ticket", "front-door", good=_name)
    plant_id = questions.text("plant id (empty: look for it after the login)", good=_or_empty(_usable(uuid)))
    device_id = questions.text("device id", good=_usable(uuid)) if plant_id else ""
    unusual = _unusual(questions) if questions.yes("anything unusual (own CA, other addresses)?", default=False) else {}
    return Answers(
        account=account,
        provider=provider,
        authority=unusual.pop("authority", "") or authority,
        client_id=client,
        redirect_uri=redirect,
        client_secret=client_secret,
        subscription_key=key,
        ticket=ticket,
        plant_id=plant_id,
        device_id=device_id,
        unusual=unusual,
    )


def _unusual(questions: Questions) -> dict[str, str]:
    return {
        "authority": questions.text("authority (empty: the usual one)"),
        "ca_file": questions.text("CA certificate (PEM file; empty: none)"),
        "base_url": questions.text("address of the API", API_BASE_URL, good=_usable(base_url)),
    }


def render(answers: Answers, references: dict[str, str]) -> str:
    """broker.toml; `references` say where "client-secret" and "subscription-key" are kept."""
    account: dict[str, str] = {"provider": answers.provider}
    if answers.authority != PARTNER_AUTHORITY:
        account["authority"] = answers.authority
    account["client_id"] = answers.client_id
    if "client-secret" in references:
        account["client_secret"] = references["client-secret"]
    account["redirect_uri"] = answers.redirect_uri
    if answers.unusual.get("ca_file"):
        account["ca_file"] = answers.unusual["ca_file"]
    api = {"subscription_key": references["subscription-key"]}
    if answers.unusual.get("base_url", API_BASE_URL) != API_BASE_URL:
        api["base_url"] = answers.unusual["base_url"]
    text = "# written by `eliot-broker setup`; every other key: eliot-broker config example --full\n"
    text += _table(f"accounts.{answers.account}", account) + _table(f"accounts.{answers.account}.api", api)
    listen = _listen(answers.redirect_uri)
    if listen is not None:
        text += _table("login", {"listen": listen})
    return text + (render_ticket(answers) if answers.plant_id else "")


def _listen(redirect_uri: str) -> str | None:
    """Where this redirect can be awaited: on its own port, or nowhere; None: the default fits."""
    parts = urlsplit(redirect_uri)
    if redirect_uri == REDIRECT_URI:
        return None
    if parts.scheme != "http" or parts.hostname not in {"localhost", "127.0.0.1"} or not parts.port:
        return ""
    return f"127.0.0.1:{parts.port}"


def render_ticket(answers: Answers) -> str:
    """The table of the ticket."""
    ids = {"account": answers.account, "plant_id": answers.plant_id, "device_id": answers.device_id}
    return _table(f"tickets.{answers.ticket}", ids)


def _table(name: str, values: dict[str, str]) -> str:
    width = max(map(len, values))
    return f"\n[{name}]\n" + "".join(f"{key:{width}} = {_literal(value)}\n" for key, value in values.items())


def _literal(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's strings are TOML's but for DEL


def _name(answer: str) -> str | None:
    return None if NAME.fullmatch(answer) else "letters, digits, - and _"


def _usable(parser: Parser) -> Callable[[str], str | None]:
    """What is wrong with an answer in the words of `config check`, or None."""

    def good(answer: str) -> str | None:
        try:
            parser(answer)
        except Refused as refused:
            return "; ".join(f"it {problem}; {remedy}" for problem, remedy in refused.pairs)
        return None

    return good


def _or_empty(good: Callable[[str], str | None]) -> Callable[[str], str | None]:
    return lambda answer: good(answer) if answer else None
