"""Which form of JSON is found best: the file as it stands, or a line a value with its names.

    python -m benchmarks.json_forms            # half a minute, the service's default model

One file of records, the metadata of the packages that are installed here, is cut in both forms and
stored in two collections. Of each package are asked its licence, what Python it needs and what it
is for; right is a chunk among the four nearest that has the package's name and the value.
"""

from __future__ import annotations

import json
import os
from importlib.metadata import distributions
from typing import Any

from benchmarks.alone import run_alone
from tests.support.service import RealService
from thoth_core.chunking import chunk
from thoth_core.documents.base import Content
from thoth_core.documents.json import read
from thoth_core.encoding import load_encoding

MODEL = os.environ.get("RAG_EMBEDDING_MODEL", "all-MiniLM-L6-v2")
PACKAGES, K = 100, 4
SIZES = ((500, 50), (200, 20))
ASKED = {
    "summary": "What is the package {} for?",
    "license_expression": "Which licence has the package {}?",
    "requires_python": "Which version of Python does the package {} need?",
}
KEPT = ("name", "version", *ASKED, "author", "keywords", "requires_dist", "project_url")


def packages() -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for each in distributions():
        told = each.metadata.json
        record = {key: told[key] for key in KEPT if key in told}
        # Of long lists the beginning, so that a record is about as long as others of its kind.
        short = {k: v[:6] if isinstance(v, list) else v for k, v in record.items()}
        found.setdefault(str(told["name"]), short)
    return [found[name] for name in sorted(found)][:PACKAGES]


def measure(quick: bool) -> dict[str, Any]:
    records = packages()
    data = json.dumps(records, indent=2).encode()
    forms = {"as it stands": Content(data.decode()), "a line a value": read(data)}
    encoding = load_encoding("cl100k_base")
    questions = [
        (question.format(record["name"]), record["name"], str(record[key]))
        for record in records
        for key, question in ASKED.items()
        if record.get(key)
    ]
    found: dict[str, Any] = {"model": MODEL, "questions": len(questions), "forms": {}}
    service = RealService.make(MODEL, THOTH_EMBED_WORKERS="2")
    try:
        service.start()
        with service.client() as thoth:
            for size, overlap in SIZES[:1] if quick else SIZES:
                for number, (form, content) in enumerate(forms.items()):
                    made = chunk(
                        content.text,
                        size=size,
                        overlap=overlap,
                        tokenizer=encoding,
                        layout=content.layout,
                    )
                    name = f"form-{number}-{size}"
                    thoth.add([each.text for each in made], collection=name)
                    hits = thoth.query_many([q for q, _, _ in questions], k=K, collection=name)
                    right = sum(
                        any(_holds(hit.text or "", package, value) for hit in of)
                        for (_, package, value), of in zip(questions, hits, strict=True)
                    )
                    found["forms"][f"{form}, {size} tokens"] = {
                        "chunks": len(made),
                        "recall": right / len(questions),
                    }
    finally:
        service.close()
    return found


def _holds(text: str, package: str, value: str) -> bool:
    return package in text and (value in text or json.dumps(value)[1:-1] in text)


def show(found: dict[str, Any]) -> None:
    print(f"model {found['model']}; {found['questions']} questions; recall@{K}")
    for form, each in found["forms"].items():
        print(f"  {form:28} {each['chunks']:4} chunks  {each['recall']:.3f}")


if __name__ == "__main__":
    run_alone(__doc__, measure, show)
