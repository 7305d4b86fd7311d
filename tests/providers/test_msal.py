"""MSAL itself, unpatched and with an HTTP session of its own: a second opinion on the sandbox's B2C and on the shapes.

Every form of authority that an account may have, and the certified providers by `authority` and by `oidc_authority`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msal
import pytest
import requests

from broker.sandbox import credentials
from tests.providers.ways import B2C_PATH, WAYS, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.providers.houses import House

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:response_mode='form_post'")]
B2C_WAYS = [way for way in WAYS if way.kind == "b2c"]
OIDC_AUTHORITIES = {"oidc-provider, B2C's paths": f"{B2C_PATH}/v2.0", "sandbox": "/oidc"}


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False  # REQUESTS_CA_BUNDLE would win over `verify`
        yield made


def application(house: House, session: requests.Session, client_id: str, **authority: Any) -> Any:
    session.verify = str(house.ca_file)
    session.proxies = {"https": house.environ["HTTPS_PROXY"]} if house.environ else {}
    return msal.ClientApplication(
        client_id, instance_discovery=False, http_client=session, exclude_scopes=["profile"], **authority
    )


def log_in(app: Any, house: House, prompt: str | None) -> dict[str, Any]:
    flow = app.initiate_auth_code_flow([], redirect_uri=credentials.REDIRECT_URI, prompt=prompt)
    response = dict(parse_qsl(urlsplit(house.log_in(flow["auth_uri"])).query))
    answer: dict[str, Any] = app.acquire_token_by_auth_code_flow(flow, response)
    assert "error" not in answer, answer
    return answer


@pytest.mark.parametrize("way", B2C_WAYS, ids=lambda way: way.name)
def test_msal_logs_in_and_refreshes_by_authority(
    way: Way, house_of: Callable[[str], House], session: requests.Session
) -> None:
    house = house_of(way.house)
    app = application(house, session, way.client_id, authority=way.account(house).authority)
    answer = log_in(app, house, way.prompt)
    assert answer["id_token_claims"]["aud"] == way.client_id
    for _ in range(3):
        newer = app.acquire_token_by_refresh_token(answer["refresh_token"], scopes=[])
        assert newer["id_token"], newer
        assert newer["refresh_token"] != answer["refresh_token"]
        answer = newer


@pytest.mark.parametrize("name", OIDC_AUTHORITIES)
def test_msal_logs_in_and_refreshes_by_oidc_authority(
    name: str, house_of: Callable[[str], House], session: requests.Session
) -> None:
    house = house_of(name)
    client_id = credentials.OIDC_PUBLIC_CLIENT_ID if name == "sandbox" else "broker-public"
    app = application(house, session, client_id, oidc_authority=house.origin + OIDC_AUTHORITIES[name])
    answer = log_in(app, house, None if name == "sandbox" else "consent")
    newer = app.acquire_token_by_refresh_token(answer["refresh_token"], scopes=[])
    assert newer["id_token"], newer
    assert newer["refresh_token"] != answer["refresh_token"]


def test_msal_takes_no_issuer_without_a_path(house_of: Callable[[str], House], session: requests.Session) -> None:
    """Why an issuer at the root of its host is reached by our `oidc` kind only."""
    house = house_of("oidc-provider")
    with pytest.raises(ValueError, match="a minimum of one segment in a path"):
        application(house, session, "broker-public", oidc_authority=house.origin)
