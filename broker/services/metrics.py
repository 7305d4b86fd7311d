"""The OpenMetrics text of /metrics, made from the status document, so that both always say the same.

Knows no library and no service. The one invariant: no label carries a secret or an unbounded value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.services.counters import COUNTERS

if TYPE_CHECKING:
    from broker.services.counters import Counters

Row = dict[str, Any]

GAUGES: tuple[tuple[str, str, str, str], ...] = (
    # metric, help, kind of row, field
    ("eliot_broker_ticket_seconds_left", "Validity left of the ticket in hand.", "ticket", "expires_in"),
    ("eliot_broker_login_seconds_left", "How long the login can still be refreshed.", "account", "runway.login"),
    ("eliot_broker_runway_seconds", "How long tickets last if nothing more is had.", "account", "runway.tickets"),
    ("eliot_broker_quota_used", "Calls that count in the window.", "account", "quota.used"),
    ("eliot_broker_quota_remaining", "Calls left in the window.", "account", "quota.remaining"),
    ("eliot_broker_id_token_seconds_left", "Validity left of the id token.", "account", "id_token.expires_in"),
)


def exposition(status: Row, counters: Counters, *, usable: bool = True) -> str:
    """All metrics, ending in the EOF line (OpenMetrics 1.0)."""
    rows = {"ticket": status["tickets"], "account": status["accounts"]}
    lines: list[str] = []
    for metric, text, kind, field in GAUGES:
        samples = [(row["name"], _field(row, field)) for row in rows[kind]]
        lines += _gauge(metric, text, kind, samples)
    lines += _gauge(
        "eliot_broker_ticket_available",
        "1 where a valid ticket is in hand.",
        "ticket",
        [(row["name"], int(row["state"] != "unavailable")) for row in rows["ticket"]],
    )
    lines += _gauge(
        "eliot_broker_logged_in",
        "1 where the login can be refreshed.",
        "account",
        [(row["name"], int(row["state"] == "logged_in")) for row in rows["account"]],
    )
    skew = status["clock"]["skew_seconds"]
    clock = "eliot_broker_clock_skew_seconds"
    ahead = "How far this machine's clock is ahead of the cloud's."
    lines += [f"# TYPE {clock} gauge", f"# UNIT {clock} seconds", f"# HELP {clock} {ahead}"]
    lines += [] if skew is None else [f"{clock} {skew}"]
    lines += _attention(status, usable=usable)
    config = "eliot_broker_configuration_usable"
    lines += [f"# TYPE {config} gauge", f"# HELP {config} 0 while every request is refused for the configuration."]
    lines.append(f"{config} {int(usable)}")
    lag = "eliot_broker_sweep_lag_seconds"
    lines += [f"# TYPE {lag} gauge", f"# UNIT {lag} seconds", f"# HELP {lag} How late the last sweep began."]
    lines.append(f"{lag} {counters.sweep_lag_seconds:.3f}")
    for name, text in COUNTERS.items():
        lines += [f"# TYPE {name} counter", f"# HELP {name} {text}"]
        lines += [f"{name}_total{_labels(labels)} {count}" for labels, count in counters.of(name)]
    return "\n".join([*lines, "# EOF", ""])


def _attention(status: Row, *, usable: bool) -> list[str]:
    """How many problems wait for a person, by who: a login, or a fix by the operator."""
    metric = "eliot_broker_attention"
    lines = [f"# TYPE {metric} gauge", f"# HELP {metric} Problems that only a person can end, by remedy."]
    waiting = [row["remedy"] for row in status.get("problems") or ()] if usable else ["fix"]
    return [*lines, *(f'{metric}{{remedy="{each}"}} {waiting.count(each)}' for each in ("login", "fix"))]


def _labels(labels: dict[str, str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _field(row: Row, path: str) -> int | None:
    value: Any = row
    for part in path.split("."):
        if value is None:
            return None
        value = value[part]
    return None if value is None else int(value)


def _gauge(metric: str, text: str, kind: str, samples: list[tuple[str, int | None]]) -> list[str]:
    told = [f'{metric}{{{kind}="{_escaped(name)}"}} {value}' for name, value in samples if value is not None]
    return [f"# TYPE {metric} gauge", f"# HELP {metric} {text}", *told]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
