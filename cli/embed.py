"""``thoth embed``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.cost import say_cost
from cli.examples import examples
from cli.options import Options, common
from thoth_core.errors import EXIT_PARTLY, InvalidInput

if TYPE_CHECKING:
    from thoth_core.prices import Cost


@examples(
    ('thoth embed "a text" "another"', "a vector a line, as JSON"),
    (
        "grep . docs/ask.md | thoth embed --npy vectors.npy",
        "each line of a file, as an array for numpy",
    ),
    exits={
        3: "some texts were refused, the others are embedded",
        5: "a key or a quota that is refused, with a model of a provider",
    },
)
@click.command()
@click.argument("texts", nargs=-1, metavar="TEXT...")
@click.option(
    "--npy",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the vectors to this file in numpy's format instead.",
)
@common
@click.pass_obj
def embed(options: Options, texts: tuple[str, ...], npy: Path | None) -> int:
    """Turn texts into vectors of unit length, one line each.

    TEXT may be -, or left out: then each line of standard input is a text. Exits with 3 if some
    texts were refused; their vectors are null (NaN in a file), and the others are there.
    """
    given = list(texts)
    if given in ([], ["-"]):
        # What stands between line ends, and no line after the last one.
        whole = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        given = whole.replace("\r\n", "\n").split("\n")
        if given[-1] == "":
            given.pop()
        if not given:
            options.output.note("there is no text on standard input")
    refused: InvalidInput | None = None
    costs: list[Cost] = []
    with options.thoth() as thoth:
        try:
            vectors = thoth.embed(given, on_cost=costs.append)
        except InvalidInput as error:
            if error.partial is None or len(set(error.indices)) == len(given):
                raise
            refused, vectors = error, error.partial
        model = thoth.model
    bad = set(refused.indices) if refused is not None else set()
    errors = _errors(refused)
    output = options.output
    if npy is not None:
        from thoth_core.client.npy import write_npy

        write_npy(npy, vectors)
    if output.json:
        rows = None if npy is not None else _rows(vectors, bad)
        output.document(
            {
                "model": model,
                "dimension": int(vectors.shape[1]),
                "count": len(given),
                "file": None if npy is None else str(npy),
                "vectors": rows,
                "errors": errors,
                "cost": costs[0].to_dict(),
            }
        )
    elif npy is None:
        for row in _rows(vectors, bad):
            output.line(json.dumps(row))
    else:
        output.note(f"{len(given)} vectors of {vectors.shape[1]} numbers written to {npy}")
    for entry in errors:
        output.warn(f"refused: text {entry['index']}: {entry['message']}")
    say_cost(output, costs[0])
    return EXIT_PARTLY if bad else 0


def _rows(vectors: Any, bad: set[int]) -> list[list[float] | None]:
    return [None if i in bad else row for i, row in enumerate(vectors.tolist())]


def _errors(refused: InvalidInput | None) -> list[dict[str, Any]]:
    if refused is None:
        return []
    return [
        {"index": index, "code": error["code"], "message": error["message"]}
        for index, error in refused.details.get("errors", [])
    ]
