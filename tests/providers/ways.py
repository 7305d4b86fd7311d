"""Provider and kind of account together: the rows of the table «What has been tried».

Data only. The one invariant: an account here is what an operator would write for that provider, nothing weaker.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.config import AccountConfig, ApiConfig, OAuthConfig, SecretReference
from broker.core.secret import Secret
from broker.sandbox import credentials

if TYPE_CHECKING:
    from tests.providers.houses import House

TENANT, TENANT_ID, POLICY = credentials.TENANT, credentials.TENANT_ID, credentials.POLICY
B2C_PATH = "/tenant.onmicrosoft.com/b2c_1_signin"
B2C_ISSUER_PATH = "/11111111-2222-3333-4444-555555555555/v2.0/"
SANDBOX_B2C = credentials.B2C_PUBLIC_CLIENT_ID


@dataclass(frozen=True, slots=True)
class Way:
    """One row: a provider (`house` is how the tests get it) and an account that uses it.

    `authority` that begins with a slash is on the house's own origin. `other_client` is another application there.
    `issuer_path`: the issuer where the operator must name it.
    """

    house: str
    provider: str
    kind: Any
    authority: str
    client_id: str
    other_client: str
    form: str = ""
    secret: str | None = None
    prompt: str | None = None
    issuer_path: str | None = None
    oauth: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the row is called."""
        return f"{self.provider}, `{self.kind}`{', ' if self.form else ''}{self.form}"

    def account(self, house: House) -> AccountConfig:
        """The account for this house."""
        authority = self.authority if self.authority.startswith("https:") else house.origin + self.authority
        oauth = OAuthConfig(**self.oauth)
        if self.issuer_path is not None:
            oauth = replace(oauth, issuer=(house.origin + self.issuer_path,))
        return AccountConfig(
            name="home",
            provider=self.kind,
            authority=authority,
            client_id=self.client_id,
            api=ApiConfig(SecretReference("env", "TEST", Secret(credentials.SUBSCRIPTION_KEY))),
            client_secret=None if self.secret is None else SecretReference("env", "TEST", Secret(self.secret)),
            prompt=self.prompt,
            ca_file=Path(house.ca_file),
            oauth=oauth,
        )


def _sandbox_b2c(form: str, authority: str, house: str = "sandbox") -> Way:
    other = credentials.B2C_CONFIDENTIAL_CLIENT_ID
    return Way(house, "the sandbox", "b2c", authority, SANDBOX_B2C, other, form)


def _oidc_provider(kind: str, client_id: str, form: str, **more: Any) -> Way:
    shaped = kind == "b2c"
    return Way(
        "oidc-provider, B2C's paths" if shaped else "oidc-provider",
        "oidc-provider",
        kind,
        B2C_PATH if shaped else "",
        client_id,
        "another-application",
        form,
        prompt="consent",  # it gives offline_access only where the person is asked (OpenID Connect Core section 11)
        **more,
    )


def _django(kind: str, client_id: str, form: str, **more: Any) -> Way:
    issuer_path = B2C_ISSUER_PATH if kind == "oidc" else None
    authority = f"{B2C_PATH}/v2.0" if kind == "oidc" else B2C_PATH
    house = "django-oauth-toolkit"
    return Way(house, house, kind, authority, client_id, "another-application", form, issuer_path=issuer_path, **more)


def _authlib(client_id: str, form: str, **more: Any) -> Way:
    return Way("authlib", "Authlib's grants", "oidc", "", client_id, "another-application", form, **more)


WAYS = (
    Way(
        "sandbox",
        "the sandbox",
        "partner",
        "",
        credentials.PARTNER_CLIENT_ID,
        credentials.B2C_CONFIDENTIAL_CLIENT_ID,
        secret=credentials.PARTNER_CLIENT_SECRET,
    ),
    _sandbox_b2c("policy in the path", f"/{TENANT}/{POLICY}"),
    _sandbox_b2c("policy as `?p=`", f"/{TENANT}?p={POLICY}"),
    _sandbox_b2c("tenant by its id", f"/{TENANT_ID}/{POLICY}"),
    _sandbox_b2c("`login.eliotbylegrand.com`", f"https://login.eliotbylegrand.com/{TENANT}/{POLICY}", "sandbox, named"),
    _sandbox_b2c(
        "`eliotclouduamprd.b2clogin.com`", f"https://eliotclouduamprd.b2clogin.com/{TENANT}/{POLICY}", "sandbox, named"
    ),
    Way(
        "sandbox",
        "the sandbox",
        "oidc",
        "/oidc",
        credentials.OIDC_CONFIDENTIAL_CLIENT_ID,
        credentials.OIDC_PUBLIC_CLIENT_ID,
        secret=credentials.OIDC_CONFIDENTIAL_CLIENT_SECRET,
    ),
    _oidc_provider("oidc", "broker-public", "public"),
    _oidc_provider(
        "oidc",
        "broker-post",
        '`client_auth = "post"`',
        secret="secret of broker-post: + & % /",
        oauth={"client_auth": "post"},
    ),
    _oidc_provider(
        "oidc",
        "broker-basic",
        '`client_auth = "basic"`',
        secret="secret of broker-basic: + & % /",
        oauth={"client_auth": "basic"},
    ),
    _oidc_provider("b2c", "broker-public", "B2C's paths"),
    _django("oidc", "broker-public", "public"),
    _django("oidc", "broker-post", "confidential", secret="secret of broker-post: + & % /"),
    _django("b2c", "broker-public", "B2C's paths"),
    _authlib("broker-public", "public"),
    _authlib("broker-plain", '`client_auth = "basic"`', secret="letters-and-digits-1", oauth={"client_auth": "basic"}),
    _authlib(
        "broker-odd", '`client_auth = "post"`', secret="secret of broker-odd: + & % /", oauth={"client_auth": "post"}
    ),
)
