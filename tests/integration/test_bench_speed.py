"""The benchmark runs: peers, a service, the file with the figures, and the page from that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed_doc import BEGIN, END, placed, section
from benchmarks.speed_table import figure

# Where nobody has converted the model yet, this does.
pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The part that needs nothing of the extra "bench"."""
    target = tmp_path_factory.mktemp("bench") / "bench.json"
    command = [sys.executable, "-m", "benchmarks.speed", "--part", "stream"]
    command += ["--rounds", "1", "--size", "0.02", "--json", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout, target


def test_the_figures_are_shown_and_written(told: tuple[str, Path]) -> None:
    shown, target = told
    found = json.loads(target.read_text())
    stream = found["stream"]
    assert set(stream["seconds"]) == {"engine alone", "Thoth"}
    assert all(len(each) == 1 and each[0] > 0 for each in stream["seconds"].values())
    # Each text has its two special tokens besides.
    assert stream["tokens"] == stream["pieces"] + 2 * stream["texts"]
    for kind, peak in stream["peak"].items():
        reached = stream["flop"] / stream["seconds"]["Thoth"][0]
        assert stream["share"][kind] == pytest.approx(reached / peak["flops"])
    [line] = [line for line in shown.splitlines() if line.startswith("share of the bf16 roofline")]
    assert figure(stream["share"]["bfloat16"]) in line
    assert "query at 20,000 chunks, idle, p50" in shown


def test_the_page_has_the_figures_and_keeps_the_rest(told: tuple[str, Path]) -> None:
    found = json.loads(told[1].read_text())
    page = f"# Title\n\n{BEGIN}\n\nold\n{END}\n\nAfter it.\n"
    made = placed(page, section(found))
    assert made.startswith("# Title\n") and made.endswith("After it.\n") and "old" not in made
    assert f"{found['stream']['share']['bfloat16']:.2f}" in made
    assert placed(made, section(found)) == made
    with pytest.raises(ValueError, match="without"):
        placed("# A page without marks", "figures")
