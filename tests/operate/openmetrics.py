"""A strict reader of the OpenMetrics text (OpenMetrics 1.0, section "Text Format"): refuses what a scraper would."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.]+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')


@dataclass
class Family:
    """One metric: its type, and its samples as (labels, value)."""

    kind: str
    help: str = ""
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)


def families(text: str) -> dict[str, Family]:
    """Every metric by its name. Raises: AssertionError for what is not in the format."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""], "it ends with EOF and a newline"
    found: dict[str, Family] = {}
    current = ""
    for line in lines[:-2]:
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            if word == "TYPE":
                assert name not in found, f"{name} comes twice: families must not be interleaved"
                found[name], current = Family(rest), name
            assert name == current, f"{line}: not within its family"
            if word == "HELP":
                found[name].help = rest
            if word == "UNIT":
                assert name.endswith(f"_{rest}"), "the unit is the end of the name"
            assert word in {"TYPE", "HELP", "UNIT"}, line
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"no sample: {line!r}"
        name, labels, value = sample[1], dict(LABEL.findall(sample[2] or "")), float(sample[3])
        family = found[current]
        assert name == (f"{current}_total" if family.kind == "counter" else current), f"{line}: not of {current}"
        assert labels not in [known for known, _ in family.samples], f"{line}: twice"
        family.samples.append((labels, value))
    return found
