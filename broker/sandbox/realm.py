"""The three ways to sign in, as documents: where their endpoints are, what their metadata and issuer say.

Partner gateway, Azure AD B2C (policy in the path, in the query, or behind /tfp/) and a plain OpenID provider, all on
the host that was asked. Knows no grant and no token. The one invariant: metadata, id tokens and routes agree, because
all three are made of one Realm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from broker.sandbox import credentials

if TYPE_CHECKING:
    from aiohttp import web

    from broker.sandbox.options import IssuerForm

Kind = Literal["partner", "b2c", "oidc"]


@dataclass(frozen=True, slots=True)
class Realm:
    """One way to sign in, as seen by one request; `base` is the origin that was asked."""

    kind: Kind
    base: str
    tenant: str = credentials.TENANT
    policy: str = ""
    form: Literal["path", "query", "tfp"] = "path"

    def endpoint(self, name: Literal["authorize", "token", "keys"]) -> str:
        """The URL of an endpoint."""
        if self.kind == "oidc":
            return f"{self.base}/oidc/{name}"
        if self.kind == "partner" and name != "keys":
            return f"{self.base}/{name}"
        leaf = "discovery/v2.0/keys" if name == "keys" else f"oauth2/v2.0/{name}"
        if self.form == "query":
            return f"{self.base}/{self.tenant}/{leaf}?p={self.policy.lower()}"
        prefix = "/tfp" if self.form == "tfp" else ""
        return f"{self.base}{prefix}/{self.tenant}/{self.policy.lower()}/{leaf}"

    def issuer(self, form: IssuerForm) -> str:
        """The `iss` of id tokens."""
        if self.kind == "oidc":
            return f"{self.base}/oidc"
        if form == "tfp":
            return f"{self.base}/tfp/{credentials.TENANT_ID}/{self.policy.lower()}/v2.0/"
        return f"{self.base}/{credentials.TENANT_ID}/v2.0/"

    def metadata(self, form: IssuerForm) -> dict[str, Any]:
        """The OpenID Connect discovery document."""
        return {
            "issuer": self.issuer(form),
            "authorization_endpoint": self.endpoint("authorize"),
            "token_endpoint": self.endpoint("token"),
            "jwks_uri": self.endpoint("keys"),
            "response_modes_supported": ["query", "fragment"],
            "response_types_supported": ["code"],
            "scopes_supported": ["openid", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "nonce", "oid", "tfp"],
        }


def partner_realm(request: web.Request) -> Realm:
    """The partner gateway, whose tokens come from a B2C policy of its own."""
    return Realm("partner", _base(request), policy=credentials.GATEWAY_POLICY)


def oidc_realm(request: web.Request) -> Realm:
    """The plain OpenID provider."""
    return Realm("oidc", _base(request))


def b2c_realm(request: web.Request) -> Realm | None:
    """The B2C policy that the path or `?p=` names, in any case of letters; None where there is no such thing."""
    tenant = request.match_info["tenant"]
    in_path = request.match_info.get("policy")
    wanted = (in_path or request.query.get("p", "")).lower()
    policy = next((name for name in credentials.POLICIES if name.lower() == wanted), None)
    if policy is None or tenant.lower() not in (credentials.TENANT, credentials.TENANT_ID):
        return None
    if request.path.startswith("/tfp/"):
        return Realm("b2c", _base(request), tenant, policy, "tfp")
    return Realm("b2c", _base(request), tenant, policy, "path" if in_path else "query")


def _base(request: web.Request) -> str:
    return f"https://{request.host}"
