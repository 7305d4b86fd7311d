"""What a person pastes: every form that people paste, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.redirect import check_state, parameters
from broker.core.secret import Secret
from broker.core.tokens import PendingLogin
from broker.errors import BadRequest, ResponseMismatch

FORMS = {
    "the whole address": "http://localhost:8400/callback?code=abc&state=xyz",
    "with spaces around it": "  http://localhost:8400/callback?code=abc&state=xyz \n",
    "in angle brackets, as mail programs do": "<http://localhost:8400/callback?code=abc&state=xyz>",
    "a custom scheme": "com.example://oauth2redirect?code=abc&state=xyz",
    "the fragment": "com.example://oauth2redirect#code=abc&state=xyz",
    "the path": "/callback?code=abc&state=xyz",
    "the query": "code=abc&state=xyz",
    "the query with its mark": "?state=xyz&code=abc",
}
REFUSED = ["", "   ", "two words", "http://localhost/callback", "code=a&code=b", "x" * 20_000, "http://[::1/?code=a"]


def pending(*, bound: bool = True) -> PendingLogin:
    return PendingLogin(
        "https://cloud", "http://localhost", Secret("xyz"), code_verifier=Secret("v") if bound else None
    )


@pytest.mark.parametrize("name", FORMS)
def test_every_form_in_which_people_paste_is_understood(name: str) -> None:
    found = parameters(Secret(FORMS[name]))
    assert found == {"code": "abc", "state": "xyz"}
    check_state(found, pending())


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_answer_to_a_login_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parameters(Secret(text))


def test_an_error_redirect_is_understood() -> None:
    assert parameters(Secret("http://x/?error=access_denied&state=xyz"))["error"] == "access_denied"


def test_a_bare_code_is_taken_only_where_pkce_or_a_nonce_binds_it() -> None:
    found = parameters(Secret("eyJraWQ.abc-def"))
    check_state(found, pending(bound=True))
    with pytest.raises(ResponseMismatch):
        check_state(found, pending(bound=False))


def test_an_answer_without_a_state_or_with_another_is_refused() -> None:
    with pytest.raises(ResponseMismatch):
        check_state({"code": "abc", "state": "other"}, pending())
    with pytest.raises(ResponseMismatch):
        check_state({"code": "abc", "session_state": "s"}, pending())


@given(text=st.text(max_size=200))
def test_any_text_is_parameters_or_a_bad_request(text: str) -> None:
    try:
        found = parameters(Secret(text))
    except BadRequest:
        return
    assert "code" in found or "error" in found
