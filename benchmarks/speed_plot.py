"""Bulk rates of the peers as a picture, for the documentation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed_peers import ALONE, OURS

_OURS, _THEIRS, _ALONE = "#1f6f8b", "#b8bcc2", "#8fb8c6"


def plot(found: Mapping[str, Any], target: Path) -> None:
    """A PNG: a panel for each kind of texts, and one for the ingest. Rates are medians over the
    rounds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [
        (f"{kind}: {told['pieces'] / told['texts']:.0f} word pieces", told, "texts/s")
        for kind, told in found["bulk"].items()
    ]
    panels.append(("ingest end to end, mixed texts", found["ingest"], "chunks/s"))
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(8, 0.9 + 1.9 * len(panels)), layout="constrained", squeeze=False
    )
    for axis, (title, told, unit) in zip(axes[:, 0], panels, strict=True):
        rates = {
            name: told["texts"] / statistics.median(seconds)
            for name, seconds in told["seconds"].items()
        }
        names = sorted(rates, key=rates.__getitem__)
        colours = [_OURS if n == OURS else _ALONE if n == ALONE else _THEIRS for n in names]
        bars = axis.barh(names, [rates[name] for name in names], color=colours)
        axis.bar_label(bars, fmt="%.0f", padding=3)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel(unit)
        axis.margins(x=0.1)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{found['machine']}", fontsize=8)
    figure.savefig(target, dpi=110)
    pyplot.close(figure)
