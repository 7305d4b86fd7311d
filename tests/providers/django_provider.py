"""PyPI django-oauth-toolkit behind Azure AD B2C's paths on loopback TLS, as a program of its own virtual environment.

    TLS_FILE=chain-and-key.pem DATABASE=file.sqlite3 python django_provider.py      prints "listening PORT"

PKCE is required, refresh tokens rotate, a used one revokes its family. What a test does to it: POST /__admin/...
    rotate       a new signing key; the old one stays published
    rotate-hard  a new signing key; the old one is withdrawn
    expire       every refresh token is past its life
"""

from __future__ import annotations

import os
import socket
import sys
from datetime import timedelta
from typing import Any

import django
from django.conf import settings
from jwcrypto import jwk

MOUNT = "tenant.onmicrosoft.com/b2c_1_signin/"
ISSUER_PATH = "11111111-2222-3333-4444-555555555555/v2.0/"
LIFE_SECONDS = 300
REDIRECT_URI = "http://localhost:8400/callback"
USER, PASSWORD = "alice", "wonderland"
APPLICATIONS = {
    "broker-public": None,
    "broker-post": "secret of broker-post: + & % /",
    "another-application": None,
}


def new_key() -> str:
    """A private RSA key as PEM."""
    pem: bytes = jwk.JWK.generate(kty="RSA", size=2048).export_to_pem(private_key=True, password=None)
    return pem.decode()


LISTENER = socket.create_server(("127.0.0.1", 0))
PORT = LISTENER.getsockname()[1]
TOOLKIT: dict[str, Any] = {
    "OIDC_ENABLED": True,
    "OIDC_ISS_ENDPOINT": f"https://localhost:{PORT}/{ISSUER_PATH}",
    "OIDC_RSA_PRIVATE_KEY": new_key(),
    "OIDC_RSA_PRIVATE_KEYS_INACTIVE": [],
    "SCOPES": {"openid": "who you are", "offline_access": "while you are away"},
    "PKCE_REQUIRED": True,
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
    "REFRESH_TOKEN_EXPIRE_SECONDS": 86_400,
    "ACCESS_TOKEN_EXPIRE_SECONDS": LIFE_SECONDS,
    "ID_TOKEN_EXPIRE_SECONDS": LIFE_SECONDS,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["http", "https"],
}
settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF="__main__",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["DATABASE"],
            "OPTIONS": {"timeout": 20},
        }
    },
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # fast; the password is no secret
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    LOGIN_URL="/login/",
    OAUTH2_PROVIDER=TOOLKIT,
    OAUTH2_PROVIDER_APPLICATION_MODEL="oauth2_provider.Application",
)
django.setup()

# Django's modules can be imported only now that it is configured.
from django.contrib.auth import get_user_model  # noqa: E402
from django.contrib.auth import views as auth_views  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider import views  # noqa: E402
from oauth2_provider.models import get_access_token_model, get_application_model  # noqa: E402
from oauth2_provider.settings import oauth2_settings  # noqa: E402

LOGIN_PAGE = """<form method=post>{% csrf_token %}{{ form.as_p }}
<input type=hidden name=next value="{{ next }}"><button type=submit>Log in</button></form>"""


class Login(auth_views.LoginView):  # type: ignore[misc]
    """Django's own login view with the smallest page."""

    def render_to_response(self, context: Any, **_unused: Any) -> Any:
        """The page."""
        return HttpResponse(engines["django"].from_string(LOGIN_PAGE).render(context, self.request))


def rotate(_request: Any, *, keep_old: bool) -> Any:
    """Sign with a new key from now on."""
    TOOLKIT["OIDC_RSA_PRIVATE_KEYS_INACTIVE"] = [TOOLKIT["OIDC_RSA_PRIVATE_KEY"]] if keep_old else []
    TOOLKIT["OIDC_RSA_PRIVATE_KEY"] = new_key()
    oauth2_settings.reload()
    return HttpResponse()


def expire(_request: Any) -> Any:
    """Let every refresh token be past its life, which counts from the end of its access token's."""
    long_ago = timezone.now() - timedelta(days=2)
    get_access_token_model().objects.update(expires=long_ago)
    return HttpResponse()


toolkit = [
    path("oauth2/v2.0/authorize", views.AuthorizationView.as_view(), name="authorize"),
    path("oauth2/v2.0/token", views.TokenView.as_view(), name="token"),
    path("oauth2/v2.0/revoke", views.RevokeTokenView.as_view(), name="revoke-token"),
    path("discovery/v2.0/keys", views.JwksInfoView.as_view(), name="jwks-info"),
    path("openid/v2.0/userinfo", views.UserInfoView.as_view(), name="user-info"),
    path(
        "v2.0/.well-known/openid-configuration",
        views.ConnectDiscoveryInfoView.as_view(),
        name="oidc-connect-discovery-info",
    ),
]
urlpatterns = [
    path(MOUNT, include((toolkit, "oauth2_provider"))),
    path("login/", Login.as_view()),
    path("__admin/rotate", csrf_exempt(rotate), {"keep_old": True}),
    path("__admin/rotate-hard", csrf_exempt(rotate), {"keep_old": False}),
    path("__admin/expire", csrf_exempt(expire)),
]


def seed() -> None:
    """The database with one person and the applications."""
    call_command("migrate", verbosity=0)
    get_user_model().objects.create_user(USER, "alice@example.test", PASSWORD)
    for client_id, secret in APPLICATIONS.items():
        get_application_model().objects.create(
            client_id=client_id,
            client_secret=secret or "",
            client_type="confidential" if secret else "public",
            authorization_grant_type="authorization-code",
            redirect_uris=REDIRECT_URI,
            name=client_id,
            algorithm="RS256",
            skip_authorization=False,
        )


def main() -> None:
    """Serve until killed."""
    import uvicorn

    seed()
    tls = os.environ["TLS_FILE"]
    config = uvicorn.Config(
        get_asgi_application(), ssl_keyfile=tls, ssl_certfile=tls, log_level="warning", lifespan="off"
    )
    sys.stdout.write(f"listening {PORT}\n")  # connections queue up in the listener until it serves
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[LISTENER])


if __name__ == "__main__":
    main()
