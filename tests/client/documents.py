"""Answers of the broker, as the contract has them."""

from __future__ import annotations

from typing import Any


def ticket(**changes: Any) -> dict[str, Any]:
    return {
        "name": "front-door",
        "ticket": "eyJ.secret.ticket",
        "generation": 7,
        "issued_at": 1_800_000_000,
        "expires_at": 1_800_000_300,
        "expires_in": 240,
        "plant_id": "plant-1",
        "device_id": "device-1",
        "sender": {"plant": {"id": "plant-1"}},
        **changes,
    }


def id_token(**changes: Any) -> dict[str, Any]:
    return {
        "name": "home",
        "id_token": "eyJ.secret.id",
        "generation": 3,
        "issued_at": 1_800_000_000,
        "expires_at": 1_800_003_600,
        "expires_in": 1800,
        **changes,
    }
