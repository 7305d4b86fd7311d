"""Answers of GET /v1/status: one with everything, one of a broker that tells next to nothing."""

from __future__ import annotations

from typing import Any

BARE: dict[str, Any] = {"version": "0.0.1", "accounts": [{"name": "home"}], "tickets": [{"name": "front-door"}]}

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "started_at": 1_799_990_000,
    "state": {"directory": "/var/lib/eliot-broker", "key_source": "credential:state-key"},
    "clock": {"synchronized": True, "skew_seconds": -2},
    "runway": {"tickets": 2520, "login": 950_400},
    "problems": [
        {
            "code": "gateway_offline",
            "remedy": "retry",
            "subject": "side-door",
            "detail": "issuer answered 404; next attempt in 40 s",
            "hint": "is the gateway switched on?",
        },
        {"code": "login_required", "remedy": "login", "subject": "office", "detail": "account office: logged out"},
    ],
    "accounts": [
        {
            "name": "home",
            "provider": "b2c",
            "state": "logged_in",
            "code": None,
            "remedy": None,
            "detail": None,
            "hint": None,
            "subject": "5f1c",
            "display_name": "Ada Lovelace",
            "login_id": "9d2e40b1c7aa5f63",
            "logged_in_at": 1_799_000_000,
            "login_expires_at": 1_800_950_400,
            "id_token": {"generation": 4, "issued_at": 1, "expires_at": 2, "expires_in": 2600},
            "next_refresh_at": 1_800_001_700,
            "next_refresh_in": 1700,
            "last_failure": {
                "at": 1,
                "code": "rate_limited",
                "detail": "token endpoint answered 429",
                "next_attempt_in": 9,
            },
            "quota": {
                "limit": 500,
                "used": 120,
                "remaining": 380,
                "reserve": 50,
                "resets_in": 40_000,
                "stopped_for": None,
            },
            "login": None,
            "plan": "renews two tickets within 500 calls a day",
            "runway": {"login": 950_400, "tickets": 2520},
        },
        {
            "name": "office",
            "state": "logged_out",
            "login": {"pending": True, "expires_at": 1},
            "quota": {"limit": None},
        },
    ],
    "tickets": [
        {
            "name": "front-door",
            "account": "home",
            "state": "fresh",
            "code": None,
            "expires_in": 280,
            "next_renewal_in": 180,
            "warm": "always",
        },
        {
            "name": "side-door",
            "account": "home",
            "state": "unavailable",
            "code": "gateway_offline",
            "remedy": "retry",
            "detail": "issuer answered 404; next attempt in 40 s",
            "hint": "is the gateway switched on?",
            "expires_in": None,
            "next_renewal_in": 40,
            "warm": "always",
            "plan": {"words": "renewed when a third of its life is left", "life_seconds": 300},
        },
        {"name": "back-door", "account": "home", "state": "unavailable", "code": None, "expires_in": None},
    ],
}
