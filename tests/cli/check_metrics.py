"""check_metrics.py FILE: whether FILE is Prometheus text format 0.0.4 as promtool's `check metrics` wants it: every family has
one HELP and one TYPE before its samples and stands together, names and labels are well-formed, no series is there twice, counters
end in _total, buckets of a histogram grow and end with +Inf, which is its count."""

import math
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)?\}})? (NaN|[+-]Inf|[-+0-9.eE]+)$")


def family_of(name, types):
    for suffix in ("_bucket", "_sum", "_count"):
        base = name[: -len(suffix)] if name.endswith(suffix) else None
        if base and types.get(base) == "histogram":
            return base
    return name


def check_histogram(name, series):
    """series: {(suffix, labels without le): ...}; buckets as (bound, value) in the order of the file"""
    for labels, buckets in series["bucket"].items():
        bounds, values = [b for b, _ in buckets], [v for _, v in buckets]
        assert bounds == sorted(bounds) and bounds[-1] == math.inf, f"{name}{{{labels}}}: bounds {bounds}"
        assert values == sorted(values), f"{name}{{{labels}}}: buckets shrink: {values}"
        assert series["count"].get(labels) == values[-1], f"{name}{{{labels}}}: the count is not the bucket of +Inf"
        assert labels in series["sum"], f"{name}{{{labels}}}: no sum"
    assert series["bucket"], f"{name}: no buckets"


def check(text):
    assert text.endswith("\n"), "no line feed at the end"
    helps, types, seen, closed, histograms, current = set(), {}, set(), set(), {}, None
    for line in text.splitlines():
        if line.startswith("#"):
            kind, name, rest = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line).groups()
            if name != current:
                closed.add(current)
                assert name not in closed, f"{name} does not stand together"
                current = name
            if kind == "HELP":
                assert name not in helps, f"two HELP of {name}"
                helps.add(name)
            else:
                assert name not in types and rest in ("counter", "gauge", "histogram"), line
                types[name] = rest
            continue
        match = SAMPLE.match(line)
        assert match, f"not a sample: {line}"
        name, labels, value = match.group(1), match.group(2) or "", float(match.group(3))
        family = family_of(name, types)
        assert family == current and family in helps and family in types, f"not under its HELP and TYPE: {line}"
        assert (name, labels) not in seen, f"twice: {line}"
        seen.add((name, labels))
        assert types[family] != "counter" or (name.endswith("_total") and value >= 0), f"no counter: {line}"
        if types[family] == "histogram":
            series = histograms.setdefault(family, {"bucket": {}, "sum": {}, "count": {}})
            suffix = name[len(family) + 1 :]
            if suffix == "bucket":
                rest, bound = re.fullmatch(r'(?:(.*),)?le="([^"]*)"', labels).groups()
                series["bucket"].setdefault(rest or "", []).append((float(bound), value))
            else:
                series[suffix][labels] = value
    for name, series in histograms.items():
        check_histogram(name, series)
    assert types, "nothing there"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        check(file.read())
