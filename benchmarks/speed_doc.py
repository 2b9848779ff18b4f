"""The figures of a run of :mod:`benchmarks.speed` as they stand in the documentation.

    python -m benchmarks.speed_doc bench.json docs/benchmarks.md

puts them between the two marks of that page, in place of what is there.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed_peers import OURS
from benchmarks.speed_table import NOT_MEASURED, best_cost, figure, rows, speedup

BEGIN, END = "<!-- figures: python -m benchmarks.speed_doc -->", "<!-- end of the figures -->"


def placed(page: str, figures: str) -> str:
    """``page`` with ``figures`` between its marks. Raises ValueError where there are none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"a page without {BEGIN} and, after it, {END}")
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"


def section(found: Mapping[str, Any]) -> str:
    """All tables of what ``found`` has, in Markdown."""
    made = [_machine(found)]
    for kind, each in found.get("bulk", {}).items():
        average = each["pieces"] / each["texts"]
        what = f"Embed {each['texts']} {kind} texts of {average:.0f} word pieces, texts/s"
        made.append(_rates(what, each))
        made.append(f"The least cosine to sentence-transformers is {each['least_cosine']:.6f}.\n")
    if "ingest" in found:
        each = found["ingest"]
        made.append(_rates(f"Ingest {each['texts']} chunks end to end, chunks/s", each))
    if "stream" in found:
        made.append(_stream(found["stream"]))
    made += [_aims(found), _calibration(found["calibration"])]
    return "\n".join(made)


def _machine(found: Mapping[str, Any]) -> str:
    libraries = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return (
        f"Measured on {found['date']}: {found['machine']}; load {found['load_before']:.1f} before"
        f" it; {found['rounds']} rounds, {found['seconds'] / 60:.0f} minutes. {libraries}.\n"
    )


def _rates(what: str, each: Mapping[str, Any]) -> str:
    ours = each["seconds"][OURS]
    lines = [
        (
            f"**{name}**" if name == OURS else name,
            f"{each['texts'] / statistics.median(seconds):.1f}",
            f"{each['texts'] / min(seconds):.1f}",
            "" if name == OURS else f"{speedup(seconds, ours):.2f} ×",
        )
        for name, seconds in each["seconds"].items()
    ]
    return _table((what, "median", "best", "Thoth is"), lines)


def _stream(each: Mapping[str, Any]) -> str:
    best = each["tokens"] / min(each["seconds"][OURS])
    flop = each["flop"] / each["tokens"]
    peaks = [
        (
            kind,
            f"{told['flops'] / 1e9:.0f} GFLOP/s at {' × '.join(map(str, told['size']))}",
            f"{each['share'][kind]:.2f}",
        )
        for kind, told in each["peak"].items()
    ]
    return "\n".join(
        [
            _rates(f"Embed {each['texts']} mixed texts in one call, texts/s", each),
            f"Isolation costs {each['isolation_percent']:.1f} % (the median of the rounds;"
            f" {best_cost(each['seconds']):.1f} % by the best of each). At best"
            f" {best:,.0f} tokens/s go through the service, at {flop / 1e6:.1f} MFLOP a token"
            f" {best * flop / 1e9:.0f} GFLOP/s:\n",
            _table(("products of matrices in", "peak, all cores at once", "share reached"), peaks),
        ]
    )


def _aims(found: Mapping[str, Any]) -> str:
    lines = [
        (
            row.must.what,
            "" if row.value is None else figure(row.value),
            figure(row.must.floor),
            figure(row.must.goal),
            row.must.unit.replace("x", "×"),
            row.verdict,
        )
        for row in rows(found)
        if row.verdict != NOT_MEASURED
    ]
    return _table(("what", "measured", "floor", "goal", "", "reached"), lines)


def _calibration(found: Mapping[str, Any]) -> str:
    lines = [
        (
            when,
            f"{1e3 * min(each['engine_batch_s']):.0f} to {1e3 * max(each['engine_batch_s']):.0f}",
            f"{1e6 * min(each['round_trip_s']):.0f} to {1e6 * max(each['round_trip_s']):.0f}",
        )
        for when, each in found.items()
    ]
    return _table(
        ("calibration", "a batch of 8 long texts, one thread, ms", "a round trip over ZeroMQ, us"),
        lines,
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    made = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in made)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("json", type=Path)
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    figures = section(json.loads(options.json.read_text()))
    options.page.write_text(placed(options.page.read_text("utf-8"), figures), "utf-8")


if __name__ == "__main__":
    main()
