"""A drill as a table and as a picture: when every door had a ticket, and what the weather was.

Pure: text and SVG out of what was seen. The one invariant: the picture shows exactly the gaps that the table counts.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from broker.drill.intervals import Intervals, total, union
from broker.drill.script import DAY, HOUR, KINDS, MINUTE

if TYPE_CHECKING:
    from broker.drill.oracle import Judgement
    from broker.drill.present import Held, Present
    from broker.drill.world import Seen

COLUMNS = 72
NAME_CHARACTERS = 18
HAD, HALF, NONE = "█", "▒", "·"
WIDTH, LEFT, ROW = 900, 150, 26
TICKS = 4
COLOURS = {"had": "#2b8a3e", "gap": "#e03131", "weather": "#868e96", "down": "#495057"}


def span(seconds: float) -> str:
    """Like `45 s`, `12 min`, `5.0 h`, `11.2 d`."""
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def table(seen: Seen, verdict: Judgement) -> list[tuple[str, str]]:
    """The figures, each with its name."""
    lost = ", ".join(sorted({loss.reason for loss in seen.watch.losses})) or "none"
    asked = verdict.served + verdict.misses
    return [
        *_beginning(seen.script.present),
        ("time lived", span(seen.script.seconds)),
        ("a valid ticket in hand", f"{100 * verdict.availability:.3f} % of the time"),
        ("without one, not to be avoided", span(verdict.unavoidable_seconds)),
        ("without one, avoidable", span(verdict.avoidable_seconds)),
        ("callers served at once or in time", f"{verdict.served} of {asked}"),
        ("callers sent away who could be served", str(verdict.avoidable_misses)),
        ("logins lost", f"{verdict.losses} ({lost})"),
        ("logins lost that could be kept", str(verdict.avoidable_losses)),
        ("first warning before a login's end", _warning(seen)),
        ("calls made", f"{verdict.calls} (least possible {verdict.least_calls})"),
        ("refreshes of the login", str(seen.watch.refreshes)),
        ("promises broken", str(len(verdict.violations))),
    ]


def _beginning(present: Present | None) -> list[tuple[str, str]]:
    """What it begins with, where it begins with the present."""
    if present is None:
        return []
    told = [
        ("begins with, of the login", "nobody has told" if present.login_left is None else span(present.login_left))
    ]
    told += [(f"begins with, of {each.name}", _held(each)) for each in present.tickets]
    told += [("calls made in the day before", str(present.calls_used))]
    stops = {"no call for": present.stopped_for, "the token endpoint left alone for": present.token_waits}
    return told + [(name, span(seconds)) for name, seconds in stops.items() if seconds > 0]


def _held(held: Held) -> str:
    failed = (
        "" if held.failure is None else f"; {held.failure.code}, next attempt in {span(held.failure.next_attempt_in)}"
    )
    return f"{'nothing' if held.left_seconds is None else span(held.left_seconds)}{failed}"


def _warning(seen: Seen) -> str:
    warned = [loss.warned_seconds for loss in seen.watch.losses if loss.warned_seconds is not None]
    if warned:
        return f"{span(max(warned))} before"
    return "none was foreseeable" if seen.watch.losses else "no login ended"


def rows(seen: Seen) -> list[tuple[str, str, Intervals]]:
    """The lines of the picture: what kind, its name, and when."""
    until = seen.script.seconds
    begin = seen.sign_ins[0] if seen.sign_ins else until
    found: list[tuple[str, str, Intervals]] = [
        ("gap", door.name, union((max(start, begin), end) for start, end in seen.watch.doors[door.name].gaps))
        for door in seen.script.household.doors
        if door.warm == "always" and not door.single_use
    ]
    if total(seen.downs) > 0:
        found.append(("down", "no process", union(seen.downs)))
    kinds = sorted({it.kind for it in seen.script.happenings})
    for kind in kinds:
        least = until / COLUMNS / 4
        when = [
            (it.at_seconds, max(it.ends_seconds, it.at_seconds + least))
            for it in seen.script.happenings
            if it.kind == kind
        ]
        found.append(("weather", kind, union(when)))
    return found


def timeline(seen: Seen) -> list[str]:
    """The picture for a terminal: a column is a moment; `█` a ticket was there, `▒` part of the time, `·` none."""
    column = seen.script.seconds / COLUMNS
    lines = []
    for kind, name, when in rows(seen):
        cells = []
        for place in range(COLUMNS):
            part = _part(when, place * column, (place + 1) * column)
            if kind == "gap":
                cells.append(HAD if part == 0 else NONE if part >= 1 - 1e-9 else HALF)
            else:
                cells.append("▄" if part > 0 else " ")
        lines.append(f"{name[:NAME_CHARACTERS]:>{NAME_CHARACTERS}} {''.join(cells)}")
    lines.append(f"{'':>{NAME_CHARACTERS}} {_begin(seen):<{COLUMNS - 8}}{span(seen.script.seconds):>8}")
    return lines


def _part(when: Intervals, start: float, end: float) -> float:
    return sum(max(0.0, min(end, b) - max(start, a)) for a, b in when) / (end - start)


def svg(seen: Seen, title: str) -> str:
    """The same picture as SVG."""
    lines = rows(seen)
    height = ROW * (len(lines) + 2)
    scale = (WIDTH - LEFT - 20) / seen.script.seconds
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
    parts = [
        f'<svg {frame} font-family="sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (kind, name, when) in enumerate(lines, 1):
        y = number * ROW + 4
        parts.append(f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(name[:NAME_CHARACTERS])}</text>')
        if kind == "gap":
            parts.append(_bar(LEFT, y, seen.script.seconds * scale, COLOURS["had"], f"{name}: a valid ticket"))
        for start, end in when:
            says = "no ticket" if kind == "gap" else KINDS[name].says if name in KINDS else name
            width = max(1.0, (end - start) * scale)
            parts.append(_bar(LEFT + start * scale, y, width, COLOURS[kind], f"{says}, {span(end - start)}"))
    y = (len(lines) + 1) * ROW + 12
    for part in range(TICKS + 1):
        x, anchor = LEFT + (WIDTH - LEFT - 20) * part / TICKS, {0: "start", TICKS: "end"}.get(part, "middle")
        says = _begin(seen) if part == 0 else span(seen.script.seconds * part / TICKS)
        parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(says)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _begin(seen: Seen) -> str:
    return "0" if seen.script.present is None else "now"


def _bar(x: float, y: float, width: float, colour: str, says: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" height="{ROW - 8}" fill="{colour}">'
        f"<title>{escape(says)}</title></rect>"
    )
