"""Whether what stands at the end of a chunk is found: windows beside plain truncation.

    python -m benchmarks.recall            # a minute and a half, the service's default model

200 texts of 500 tokens (cl100k_base), the size of a chunk, each a piece of Python's language
reference. In the last fifth of each stands a fact that nothing else tells: in one sentence, or in a
short paragraph about it. The same texts go into two stores, one made with THOTH_LONG_TEXT=window,
the default, and one with truncate: what a model alone does with a text that is longer than it
reads. Then each fact is asked for; recall@4 is how many of the questions have its text among the
four nearest. How far the model itself finds one sentence in a text of that length is told by the
same facts in the first fifth.
"""

from __future__ import annotations

import os
import random
from pydoc_data.topics import topics
from typing import Any

from benchmarks.alone import run_alone
from tests.support.service import RealService
from thoth_core.encoding import TextEncoding, load_encoding

MODEL = os.environ.get("RAG_EMBEDDING_MODEL", "all-MiniLM-L6-v2")
TEXTS, TOKENS, K = 200, 500, 4
#: Whether the fact is a paragraph, and where it may begin, as shares of the text.
KINDS = {
    "a sentence in the last fifth": (False, 0.8, 1.0),
    "a paragraph in the last fifth": (True, 0.8, 1.0),
    "a sentence in the first fifth": (False, 0.0, 0.2),
}
FACTS = (
    ("The lighthouse of {a} is kept by {b}.", "Who keeps the lighthouse of {a}?"),
    ("The bakery in {a} sells a rye bread called {b}.", "Which rye bread is sold in {a}?"),
    ("The ferry to {a} is named {b}.", "What is the name of the ferry to {a}?"),
    ("The violin of {a} was made by {b}.", "Who made the violin of {a}?"),
    ("The village of {a} is famous for its cheese, {b}.", "Which cheese comes from {a}?"),
    ("The doctor who treats the people of {a} is {b}.", "Who is the doctor in {a}?"),
    ("The orchestra of {a} is conducted by {b}.", "Who conducts the orchestra of {a}?"),
    ("The tallest mountain near {a} is called {b}.", "What is the tallest mountain near {a}?"),
    ("The football club of {a} plays in the stadium {b}.", "Where does the club of {a} play?"),
    ("The school of {a} is led by {b}.", "Who leads the school of {a}?"),
)
_MORE = (
    " Everybody in {a} knows {b}, and so do most people who have been there for a day. Those who"
    " ask for it in {a} are told the same: {b}, and nothing else, for as long as anyone remembers."
)
_FIRST = (
    *("bran", "cor", "dal", "el", "fen", "gar", "hol", "is", "jor", "kel", "lim", "mar", "nor"),
    *("os", "pel", "quin", "ras", "sol", "tor", "ul"),
)
_LAST = (
    *("borg", "by", "dale", "dorf", "field", "ford", "haven", "heim", "holm", "land", "lund"),
    *("mere", "stad", "ton", "vik", "wick"),
)


def texts(
    encoding: TextEncoding, paragraph: bool, first: float, last: float
) -> tuple[list[str], list[str]]:
    """The texts, and the question to each; the same ones in every run."""
    chance = random.Random(7)
    names = [f"{first}{last}".capitalize() for first in _FIRST for last in _LAST]
    chance.shuffle(names)
    tokens = encoding.tokens("\n\n".join(topics[name] for name in sorted(topics)))
    made, asked = [], []
    for number in range(TEXTS):
        fact, question = FACTS[number % len(FACTS)]
        a, b = names[number], names[-1 - number % 100]
        told = encoding.tokens(f" {(fact + _MORE * paragraph).format(a=a, b=b)}")
        around = tokens[number * TOKENS : (number + 1) * TOKENS - len(told)]
        place = chance.randint(int(first * TOKENS), min(int(last * TOKENS), len(around)))
        made.append(encoding.text_of([*around[:place], *told, *around[place:]]))
        asked.append(question.format(a=a))
    return made, asked


def measure(quick: bool) -> dict[str, Any]:
    del quick
    return {"model": MODEL, **{way: _recall(way) for way in ("window", "truncate")}}


def _recall(way: str) -> dict[str, float]:
    encoding = load_encoding("cl100k_base")
    service = RealService.make(MODEL, THOTH_LONG_TEXT=way, THOTH_EMBED_WORKERS="2")
    recall = {}
    try:
        service.start()
        with service.client() as thoth:
            for number, (kind, how) in enumerate(KINDS.items()):
                made, asked = texts(encoding, *how)
                name = f"kind-{number}"
                thoth.add(made, ids=[f"t{n}" for n in range(len(made))], collection=name)
                found = thoth.query_many(asked, k=K, collection=name)
                right = sum(f"t{n}" in {hit.id for hit in hits} for n, hits in enumerate(found))
                recall[kind] = right / len(made)
    finally:
        service.close()
    return recall


def show(found: dict[str, Any]) -> None:
    print(f"model {found['model']}; {TEXTS} texts of {TOKENS} tokens; recall@{K}")
    print(f"  {'the fact':32} window  truncate  difference")
    for kind in KINDS:
        ours, theirs = found["window"][kind], found["truncate"][kind]
        print(f"  {kind:32} {ours:6.3f}  {theirs:8.3f}  {ours - theirs:+10.3f}")


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
