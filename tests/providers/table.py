"""The table «What has been tried» of the README, made from what the contract tests run over.

`python -m tests.providers.table` prints it. The one invariant: a column is a test, a row is a way, and a note is proven
by another test.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.providers.ways import WAYS, Way

CASES = {
    "test_login": "login",
    "test_refresh_with_rotation": "refresh, rotation",
    "test_reuse_is_detected": "reuse detected",
    "test_keys_rolled_softly": "keys rolled, old kept",
    "test_keys_rolled_hard": "keys rolled, old gone",
    "test_wrong_audience": "wrong audience",
    "test_expired_grant": "expired grant",
    "test_revoked_grant": "revoked grant",
    "test_cancelled_login": "cancelled login",
    "test_skew_of_4_minutes": "skew ±4 min",
    "test_skew_of_10_minutes": "skew ±10 min",
    "test_restart_in_between": "restart in between",
    "test_ten_refreshes_in_a_row": "ten refreshes",
}


@dataclass(frozen=True, slots=True)
class Note:
    """What a provider does in its own way in one case; `evidence` is the test that shows it."""

    provider: str
    case: str
    text: str
    evidence: str


NOTES = (
    Note(
        "oidc-provider",
        "test_login",
        'it gives a refresh token only to an account with `prompt = "consent"`',
        "test_oidc_provider_gives_no_refresh_token_without_prompt_consent",
    ),
    Note(
        "Authlib's grants",
        "test_login",
        "they do not form-decode what HTTP Basic carries (RFC 6749 section 2.3.1): a secret with odd characters needs "
        '`client_auth = "post"`',
        "test_authlib_takes_a_secret_with_odd_characters_in_the_form_only",
    ),
)


def table() -> str:
    """The table and its notes, as Markdown."""
    head = ["provider, kind of account", *CASES.values()]
    rows = [[way.name, *(_cell(way, case) for case in CASES)] for way in WAYS]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---", *[":-:"] * len(CASES)], *rows)]
    notes = [f"[{number}] {note.provider}: {note.text}." for number, note in enumerate(NOTES, 1)]
    return "\n".join([*lines, "", "  \n".join(notes)])


def _cell(way: Way, case: str) -> str:
    marks = [
        f" [{number}]" for number, note in enumerate(NOTES, 1) if (note.provider, note.case) == (way.provider, case)
    ]
    return "✓" + "".join(marks)


if __name__ == "__main__":
    print(table())
