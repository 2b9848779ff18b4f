"""What a run used of a model is said at its end, however that is."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import click
import pytest

from cli.options import Options
from cli.run import run as run_command
from tests.support.service import RealService
from thoth_core import Cancelled, InvalidInput, Settings, Thoth
from thoth_core.prices import SETTING, Cost

#: Dollars a million tokens.
PRICE = "fake/32=2.5,fake/16=1000"


def priced(running: RealService) -> Thoth:
    environ = running.environ(THOTH_PRICES=PRICE)
    return Thoth(Settings.load(cwd=running.root, environ=environ), autostart=False)


def notes(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        words = " ".join(f"word{number} and {n}" for n in range(300))
        (folder / f"{number}.txt").write_text(words)
    return folder


def run(
    running: RealService, *command: str, input: str | None = None
) -> tuple[dict[str, Any], str]:
    done = running.run("thoth", *command, "--json", input=input, env={"THOTH_PRICES": PRICE})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def check(said: dict[str, Any], tokens: int, price: float) -> None:
    assert tokens > 0
    assert said["cost"]["tokens"] == tokens and said["cost"]["prices_of"] == SETTING
    assert said["cost"]["usd"] == pytest.approx(tokens * price / 1e6)


def test_an_ingest_ends_with_what_it_used(
    running: RealService, thoth: Thoth, tmp_path: Path
) -> None:
    folder = notes(tmp_path / "docs", 3)
    said, told = run(running, "ingest", str(folder))
    check(said, said["tokens"], 2.5)
    assert f"used: {said['tokens']:,} tokens, $" in told and "(THOTH_PRICES)" in told
    again, told = run(running, "ingest", str(folder))
    assert again["cost"] == {"tokens": 0, "usd": 0.0, "prices_of": SETTING}
    unpriced = running.run("thoth", "ingest", "--json", str(folder))
    assert json.loads(unpriced.stdout)["cost"] == {"tokens": 0, "usd": None, "prices_of": None}
    assert "used" not in unpriced.stderr


def test_an_embed_ends_with_what_it_used(running: RealService, thoth: Thoth) -> None:
    costs: list[Cost] = []
    thoth.embed(["three short words", "two words"], on_cost=costs.append)
    said, told = run(running, "embed", "three short words", "two words")
    check(said, costs[0].tokens, 2.5)
    assert f"used: {costs[0].tokens} tokens, under $0.0001" in told


def test_texts_that_are_refused_cost_nothing_and_the_others_do(
    running: RealService, thoth: Thoth
) -> None:
    costs: list[Cost] = []
    thoth.embed(["some words"], on_cost=costs.append)
    with priced(running) as client, pytest.raises(InvalidInput) as caught:
        client.embed(["some words", " "])
    check(caught.value.details, costs[0].tokens, 2.5)


def test_a_collection_that_is_embedded_anew_ends_with_what_that_used(
    running: RealService, thoth: Thoth
) -> None:
    texts = [f"text {n}" for n in range(20)]
    thoth.add(texts=texts)
    name = thoth.settings.collection_name
    said, told = run(running, "collections", "reembed", name, "--model", "fake/16")
    check(said, said["tokens"], 1000)
    assert said["embedded"] == 20 and f"used: {said['tokens']} tokens, $" in told


def test_an_ingest_that_ends_early_says_what_it_used(
    running: RealService, thoth: Thoth, tmp_path: Path
) -> None:
    folder = notes(tmp_path / "docs", 400)

    def enough(at: Any) -> None:
        if at.chunks_done > 0:
            raise Cancelled("enough")

    with priced(running) as client:
        with pytest.raises(Cancelled) as caught:
            client.ingest([folder], on_progress=enough)
        tokens = caught.value.details["report"]["tokens"]
        check(caught.value.details, tokens, 2.5)
        whole = client.ingest([folder])
        # What was stored by then was used, and is not used again.
        costs: list[Cost] = []
        client.embed([str(text) for text in client.get().texts], on_cost=costs.append)
        assert 0 < tokens <= costs[0].tokens and whole.tokens < costs[0].tokens


def test_ctrl_c_says_what_was_used(
    running: RealService, thoth: Thoth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = notes(tmp_path / "docs", 400)

    def ctrl_c(at: Any) -> None:
        if at.chunks_done > 0:
            raise KeyboardInterrupt

    @click.command()
    @click.pass_obj
    def command(options: Options) -> None:
        with priced(running) as client:
            client.ingest([folder], on_progress=ctrl_c)

    # It leaves a second Ctrl-C to the system.
    handler = signal.getsignal(signal.SIGINT)
    try:
        assert run_command(command, "thoth", []) == 130
    finally:
        signal.signal(signal.SIGINT, handler)
    told = capsys.readouterr().err
    assert "used before that: " in told and "(THOTH_PRICES)" in told
