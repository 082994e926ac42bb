"""openmetrics: a strict reader of OpenMetrics 1.0 text, for what a hub may say; it refuses what the specification
refuses and what we have no use for (timestamps, exemplars, units).

    families = read(body)        # name -> Family(type, help, {(("task", "backup"),): 1.0})
    OpenMetricsError tells the line.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field

SUFFIXES = {"gauge": ("",), "counter": ("_total",), "info": ("_info",), "unknown": ("",)}
_META = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)\Z")
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? ([-+0-9.eE]+|NaN|[-+]Inf)\Z")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|\Z)')
_HELP = re.compile(r'(?:[^\\"\n]|\\[\\"n])*\Z')
Labels = tuple[tuple[str, str], ...]


class OpenMetricsError(Exception):
    pass


@dataclass
class Family:
    type: str = ""
    help: str = ""
    samples: dict[Labels, float] = field(default_factory=dict)


def _labels(text: str) -> Labels:
    found, at = [], 0
    while at < len(text):
        one = _LABEL.match(text, at)
        if not one or (one[3] == "," and one.end() == len(text)):
            raise OpenMetricsError("malformed labels")
        found.append((one[1], one[2]))
        at = one.end()
    if len({name for name, _ in found}) != len(found):
        raise OpenMetricsError("a label twice")
    return tuple(sorted(found))


class _Reader:
    def __init__(self) -> None:
        self.families: dict[str, Family] = {}
        self.name = ""

    def meta(self, kind: str, name: str, rest: str) -> None:
        if name != self.name:
            if name in self.families:
                raise OpenMetricsError("a family in two places")
            self.families[name] = Family()
            self.name = name
        family = self.families[name]
        if family.samples:
            raise OpenMetricsError("metadata after samples")
        if kind == "TYPE":
            if family.type or rest not in SUFFIXES:
                raise OpenMetricsError("type twice, or unknown")
            if any(name.endswith(suffix) for suffix in SUFFIXES[rest] if suffix):
                raise OpenMetricsError("the family's name has the suffix of its samples")
            family.type = rest
        else:
            if family.help or not _HELP.match(rest):
                raise OpenMetricsError("help twice, or badly escaped")
            family.help = rest

    def sample(self, name: str, labels: Labels, value: float) -> None:
        family = self.families.get(self.name)
        if family is None or not family.type:
            raise OpenMetricsError("a sample without its type before it")
        if name not in [self.name + suffix for suffix in SUFFIXES[family.type]]:
            raise OpenMetricsError(f"a sample of another family, or without its suffix, within {self.name}")
        if labels in family.samples:
            raise OpenMetricsError("the same labels twice")
        if family.type == "counter" and not value >= 0 or family.type == "info" and value != 1:
            raise OpenMetricsError("no value for its type")
        family.samples[labels] = value

    def line(self, text: str) -> None:
        if meta := _META.match(text):
            self.meta(meta[1], meta[2], meta[3])
        elif sample := _SAMPLE.match(text):
            self.sample(sample[1], _labels(sample[3] or ""), float(sample[4]))
        else:
            raise OpenMetricsError("neither a sample nor HELP nor TYPE")


def read(body: bytes) -> dict[str, Family]:
    """All families; OpenMetricsError with the number and text of the first bad line."""
    text = body.decode("utf-8")
    if not text.endswith("\n# EOF\n"):
        raise OpenMetricsError("it does not end with # EOF")
    if "\r" in text:
        raise OpenMetricsError("a carriage return")
    reader = _Reader()
    for number, line in enumerate(text[:-len("# EOF\n")].split("\n")[:-1], 1):
        try:
            reader.line(line)
        except (OpenMetricsError, ValueError) as error:
            raise OpenMetricsError(f"line {number}: {error}: {line!r}") from error
    return reader.families
