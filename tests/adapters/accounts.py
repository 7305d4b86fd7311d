"""Accounts of the sandbox's cloud, one for each way to sign in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.config import AccountConfig, ApiConfig, OAuthConfig, SecretReference
from broker.core.secret import Secret
from broker.sandbox import credentials

if TYPE_CHECKING:
    from broker.sandbox.cloud import Cloud


def reference(value: str) -> SecretReference:
    return SecretReference("env", "TEST", Secret(value))


def account(kind: Any, authority: str, client_id: str, secret: str | None = None, **more: Any) -> AccountConfig:
    oauth = {name: more.pop(name) for name in list(more) if name in OAuthConfig.__dataclass_fields__}
    return AccountConfig(
        name="home",
        provider=kind,
        authority=authority,
        client_id=client_id,
        redirect_uri=credentials.REDIRECT_URI,
        api=ApiConfig(reference(credentials.SUBSCRIPTION_KEY)),
        client_secret=None if secret is None else reference(secret),
        oauth=OAuthConfig(**oauth),
        **more,
    )


def of_cloud(cloud: Cloud, name: str) -> AccountConfig:
    """The account of this name at the cloud."""
    tenant, policy = credentials.TENANT, credentials.POLICY
    public, confidential = credentials.B2C_PUBLIC_CLIENT_ID, credentials.B2C_CONFIDENTIAL_CLIENT_ID
    b2c_secret, oidc_secret = credentials.B2C_CONFIDENTIAL_CLIENT_SECRET, credentials.OIDC_CONFIDENTIAL_CLIENT_SECRET
    made = {
        "partner": (
            "partner",
            cloud.partner_authority,
            credentials.PARTNER_CLIENT_ID,
            credentials.PARTNER_CLIENT_SECRET,
        ),
        "b2c, policy in the path": ("b2c", cloud.b2c_authority(), public),
        "b2c, trailing slash": ("b2c", cloud.b2c_authority() + "/", public),
        "b2c, policy in the query": ("b2c", f"{cloud.origin}/{tenant}?p={policy}", public),
        "b2c, behind tfp": ("b2c", f"{cloud.origin}/tfp/{tenant}/{policy}", public),
        "b2c, confidential": ("b2c", cloud.b2c_authority(), confidential, b2c_secret),
        "oidc, public": ("oidc", cloud.oidc_authority, credentials.OIDC_PUBLIC_CLIENT_ID),
        "oidc, confidential": ("oidc", cloud.oidc_authority, credentials.OIDC_CONFIDENTIAL_CLIENT_ID, oidc_secret),
    }[name]
    return replace(account(*made), ca_file=Path(cloud.ca_file), api=replace(API, base_url=cloud.api_base_url))


API = ApiConfig(reference(credentials.SUBSCRIPTION_KEY))
NAMES = (
    "partner",
    "b2c, policy in the path",
    "b2c, trailing slash",
    "b2c, policy in the query",
    "b2c, behind tfp",
    "b2c, confidential",
    "oidc, public",
    "oidc, confidential",
)
