"""``thoth ask``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.examples import examples
from cli.harmless import harmless, one_line
from cli.narrow_options import narrow_options
from cli.options import Options, collection_option, common, parse_filter

if TYPE_CHECKING:
    from cli.output import Output
    from thoth_core import Answer


@examples(
    ('thoth ask "what happens to a late frame?"', "an answer, and the passages that it cites"),
    (
        'thoth ask "what happens to a late frame?" -k 8 --show-passages',
        "also what the model was given",
    ),
    (
        'echo "what is an epoch?" | thoth ask - --json',
        "the question from standard input, for a program",
    ),
    exits={
        4: "neither service nor chat server is reachable, or one of them",
        5: "a key or a quota that is refused",
    },
)
@click.command()
@click.argument("question")
@click.option("-k", "--k", type=click.IntRange(min=1), help="Passages; default RAG_RETRIEVAL_K.")
@narrow_options
@click.option("--where", metavar="JSON", help="Only chunks whose metadata is so.")
@click.option("--model", metavar="NAME", help="The chat model, instead of RAG_QA_MODEL.")
@click.option("--show-passages", is_flag=True, help="Also what the model was given.")
@click.option("--always-ask", is_flag=True, help="Also when nothing found is near the question.")
@common
@collection_option
@click.pass_obj
def ask(
    options: Options,
    question: str,
    k: int | None,
    source: tuple[str, ...],
    since: str | None,
    where: str | None,
    model: str | None,
    show_passages: bool,
    always_ask: bool,
) -> None:
    """Have QUESTION answered by a chat model from the passages nearest to it, with citations.

    QUESTION may be -: then it is read from standard input. The model is RAG_QA_MODEL, at OpenAI's
    or at any server that speaks the same language (OPENAI_BASE_URL). If nothing that is stored is
    near enough, the answer is "not in this collection", and no model is asked.
    """
    condition = parse_filter(where, "--where")
    if question == "-":
        from thoth_core.documents.decoding import decode

        question = decode(sys.stdin.buffer.read()).strip()
    output = options.output
    shown = _Shown(output)
    with options.thoth() as thoth:
        try:
            answer = thoth.ask(
                question,
                k,
                condition,
                options.collection,
                model,
                always_ask,
                None if output.json else shown.piece,
                source=source or None,
                since=since,
            )
        except BaseException:
            shown.end()
            raise
        prices = thoth.settings.prices
        collection = options.collection or thoth.settings.collection_name
        asked = model or thoth.settings.qa_model
    shown.end()
    if output.json:
        told = answer.to_dict(passages=show_passages)
        output.document({**told, "collection": collection, "cost": _cost(answer, asked, prices)})
    else:
        _show(output, answer, show_passages)
    _notes(output, answer, asked, prices)


class _Shown:
    """The answer as it comes, and the end of its last line."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._open = False

    def piece(self, text: str) -> None:
        # Before it is out: Ctrl-C may come in between.
        self._open = True
        self._output.piece(harmless(text))
        self._open = not text.endswith("\n")

    def end(self) -> None:
        # A failure's message, or the citations, begin on a line of their own.
        if self._open:
            self._open = False
            self._output.line()


def _show(output: Output, answer: Answer, show_passages: bool) -> None:
    if not answer.found:
        output.line(answer.answer)
    elif answer.citations:
        output.line()
        for each in answer.citations:
            output.line(f"[{each.n}] {one_line(each.place)}")
    if show_passages:
        for each in answer.passages:
            output.line()
            output.line(f"passage {each.n}  {each.score:.4f}  {one_line(each.place)}")
            output.line(harmless(each.quote))


def _notes(output: Output, answer: Answer, asked: str, prices: tuple[str, ...]) -> None:
    if not answer.found:
        output.note(_why_not(answer))
        return
    for n in answer.dropped_citations:
        output.note(f"dropped: [{n}] names no passage; there were {len(answer.passages)}")
    if not answer.citations and answer.answer.strip():
        output.note("the answer cites no passage; --show-passages shows what the model was given")
    if answer.left_out:
        some = len(answer.left_out)
        output.note(
            f"{some} passage{'s' if some > 1 else ''} had no room in THOTH_ASK_CONTEXT and "
            f"{'were' if some > 1 else 'was'} not given to the model"
        )
    if answer.finish_reason == "length":
        output.note("the answer was cut off at RAG_QA_MAX_TOKENS")
    elif answer.finish_reason != "stop":
        output.note(f"the model ended the answer for another reason: {answer.finish_reason}")
    if not answer.answer.strip():
        output.note("the model wrote nothing")
    if answer.usage is None:
        output.note(f"{answer.model} did not say how many tokens it used")
        return
    from thoth_core.prices import cost_of

    given, made = answer.usage["prompt_tokens"], answer.usage["completion_tokens"]
    cost = cost_of(asked, given, made, prices)
    output.note(f"used {cost}: {given:,} read and {made:,} written by {answer.model}")


def _why_not(answer: Answer) -> str:
    if not answer.passages:
        return "nothing was found; no model was asked"
    return (
        f"the nearest passage has a score of {answer.passages[0].score:.2f}, under the threshold of"
        f" {answer.threshold:.2f}; no model was asked (--always-ask asks all the same)"
    )


def _cost(answer: Answer, asked: str, prices: tuple[str, ...]) -> dict[str, object] | None:
    if answer.usage is None or not answer.found:
        return None
    from thoth_core.prices import cost_of

    usage = answer.usage
    return {**cost_of(asked, usage["prompt_tokens"], usage["completion_tokens"], prices).to_dict()}
