"""``python -m embed_worker.conversion MODEL-FOLDER NEW-FOLDER PARENT-PID``: a sentence-transformers
model as OpenVINO computes it, with its own pooling, made once and checked against torch.

In a process of its own, so that no worker has torch in it. Ends with 0, or with 3 and the reason on
standard output if the model cannot be converted: it is then computed by torch.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from embed_worker.calibration import ALIGN
from embed_worker.engines.converted_model import (
    DESCRIPTION,
    GRAPH,
    LEAST_COSINE,
    PROBE,
    TOKENIZER,
    Description,
    Frame,
)
from embed_worker.engines.id_rows import IdRows, plain_tokenizer
from embed_worker.engines.openvino_import import import_openvino
from embed_worker.engines.openvino_run import Graph, has_bf16
from embed_worker.engines.token_rows import PURPOSES, TokenRows, prompts_of

EXIT_REFUSED = 3
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
#: What torch and the converted model are compared on: lengths from one word to over any limit, and
#: rows of unequal length beside each other.
PROBES = (
    "x",
    "Hello, world!",
    PROBE,
    "naïve café — “quotes” … 東京 на русском 🙂",
    "def area(radius):\n    return 3.14159 * radius ** 2\n",
    "The store worker owns the directory. " * 6,
    "Numbers 1 2 3 and names, Ada Lovelace and Alan Turing; " * 14,
    "A longer passage about nothing in particular, which goes on and on. " * 60,
)


class CannotConvert(Exception):
    """Why the model is left to torch."""


def convert(model: Any, folder: Path) -> Description:
    """Write the model, a ``SentenceTransformer`` on the CPU, to ``folder``, which is there and
    empty. Raises :class:`CannotConvert`."""
    prompts = prompts_of(model.prompts)
    rows = {purpose: TokenRows(model, prompts[purpose]) for purpose in PURPOSES}
    for each in rows.values():
        if not each.reproducible:
            raise CannotConvert(f"its rows cannot be made from token ids: {each.difference}")
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    if tokenizer is None:
        raise CannotConvert("its tokenizer is not one of the tokenizers library")
    (folder / TOKENIZER).write_text(tokenizer.to_str(), "utf-8")
    features = _batch(rows["document"], list(PROBES[:2]))
    names = tuple(sorted(k for k, v in features.items() if hasattr(v, "shape")))
    if not set(names) <= set(INPUTS):
        raise CannotConvert(f"it takes other inputs than token ids: {', '.join(names)}")
    draft = Description(
        dimension=0,
        cosines={},
        probe=(),
        versions=conversion_versions(),
        inputs=names,
        pad=int(model.tokenizer.pad_token_id or 0),
        left=model.tokenizer.padding_side == "left",
        limit=rows["document"].limit,
        frames={name: _frame(each) for name, each in rows.items()},
    )
    given, wanted = _probes(model, rows, draft, folder)
    _write_graph(model, features, names, folder)
    cosines, probe = _compared(given, wanted, folder)
    if not all(math.isfinite(each) for each in cosines.values()):
        _mask_with_numbers(model)
        _write_graph(model, features, names, folder)
        cosines, probe = _compared(given, wanted, folder)
    if not cosines["fp32"] >= LEAST_COSINE["fp32"]:
        raise CannotConvert(
            f"its vectors are not those of torch: the least cosine is {cosines['fp32']:.7f}"
        )
    return replace(draft, dimension=len(probe), cosines=cosines, probe=probe)


def _mask_with_numbers(model: Any) -> None:
    """Attention is masked by adding the lowest number there is, and not by minus infinity.

    Where a model attends to near ids only, the middle of a long padding has nothing to attend to.
    Torch makes zeros of that and OpenVINO NaN, which the next layer has in all ids of the row,
    because nothing times NaN is NaN."""
    import transformers

    for part in model.modules():
        if isinstance(part, transformers.PreTrainedModel):
            part.set_attn_implementation("eager")


def _write_graph(
    model: Any, features: dict[str, Any], names: tuple[str, ...], folder: Path
) -> None:
    import torch

    constants = {k: v for k, v in features.items() if k not in names}

    class Unit(torch.nn.Module):
        """Token ids to unit vectors, as ``encode(normalize_embeddings=True)`` makes them."""

        def __init__(self) -> None:
            super().__init__()
            # Its parameters are this module's: the tracer takes no others.
            self.model = model

        # Without annotations: the tracer reads them, and these are words.
        def forward(self, attention_mask, input_ids, token_type_ids=None):  # type: ignore[no-untyped-def]
            given = {"attention_mask": attention_mask, "input_ids": input_ids, **constants}
            if token_type_ids is not None:
                given["token_type_ids"] = token_type_ids
            out = self.model(given)["sentence_embedding"]
            if model.truncate_dim is not None:
                out = out[..., : model.truncate_dim]
            return torch.nn.functional.normalize(out, p=2, dim=1)

    openvino = import_openvino(converters=True)
    try:
        with torch.inference_mode(False), torch.no_grad():
            graph = openvino.convert_model(
                Unit().eval(), example_input={name: features[name] for name in names}
            )
    except MemoryError:
        # It may go better another time.
        raise
    except Exception as problem:
        cause = problem.__cause__ or problem.__context__ or problem
        first = (str(cause).strip().splitlines() or [""])[0][:300]
        raise CannotConvert(f"{type(cause).__name__}: {first}") from problem
    # A disk that is full says nothing of the model.
    openvino.save_model(graph, str(folder / GRAPH), compress_to_fp16=False)


def _probes(
    model: Any, rows: dict[str, TokenRows], draft: Description, folder: Path
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Calls of the graph, and the unit vectors that torch makes for each: every text alone, as it
    is and padded as the engine does it, and all of them together."""
    tokenizer = plain_tokenizer(str(folder / TOKENIZER))
    given: list[dict[str, Any]] = []
    wanted: list[Any] = []
    # Most models have no prompts: their rows are the same for all purposes.
    for purpose in PURPOSES if len(set(draft.frames.values())) > 1 else PURPOSES[:1]:
        plain, engine = (IdRows(tokenizer, draft, purpose, align) for align in (1, ALIGN))
        for texts in (*([text] for text in PROBES), list(PROBES)):
            theirs, ours = _batch(rows[purpose], texts), _batch(plain, texts)
            for name in draft.inputs:
                if not np.array_equal(theirs[name].numpy(), ours[name]):
                    raise CannotConvert(f"its {name} for a text are others without the library")
            given += [ours, _batch(engine, texts)]
            wanted += [_by_torch(model, theirs)] * 2
    return given, wanted


def _compared(
    given: list[dict[str, Any]], wanted: list[Any], folder: Path
) -> tuple[dict[str, float], tuple[float, ...]]:
    """The least cosine between what the graph in ``folder`` makes of ``given`` and ``wanted``, by
    precision, and the vector of :data:`PROBE` in fp32."""
    cosines: dict[str, float] = {}
    probe: tuple[float, ...] = ()
    for precision in ("fp32", "bf16") if has_bf16() else ("fp32",):
        graph = Graph(folder, precision, threads=1)
        found = [graph.run(features) for features in given]
        cosines[precision] = least_cosine(wanted, found)
        if precision == "fp32":
            probe = tuple(float(x) for x in found[2 * PROBES.index(PROBE)][0])
    return cosines, probe


def least_cosine(wanted: list[Any], found: list[Any]) -> float:
    """The least cosine between unit vectors, (rows, dimension) in each of both lists; NaN if any of
    them has one, which Python's ``min`` would pass over."""
    return float(np.min([(a * b).sum(axis=1).min() for a, b in zip(wanted, found, strict=True)]))


def _by_torch(model: Any, features: dict[str, Any]) -> Any:
    import torch

    with torch.inference_mode():
        out = model(dict(features))["sentence_embedding"]
        if model.truncate_dim is not None:
            out = out[..., : model.truncate_dim]
        return torch.nn.functional.normalize(out, p=2, dim=1).float().numpy()


def _batch(rows: Any, texts: list[str]) -> dict[str, Any]:
    made = []
    for ids in rows.tokenise(texts):
        count = rows.count(ids)
        made.append(rows.row(ids, 0, count if rows.size is None else min(count, rows.size)))
    return dict(rows.features(made))


def _frame(rows: TokenRows) -> Frame:
    return Frame(rows.prompt, tuple(rows.prefix), tuple(rows.suffix), rows.head)


def conversion_versions() -> dict[str, str]:
    """Versions of what decides how a converted model is made and what it computes."""
    names = ("openvino", "sentence-transformers", "tokenizers", "torch", "transformers")
    return {name: version(name) for name in names}


def main(argv: list[str]) -> int:
    source, target, parent = Path(argv[1]), Path(argv[2]), int(argv[3])
    from thoth_core.worker.lifeline import end_with

    end_with(parent)
    os.environ["HF_HUB_OFFLINE"] = "1"
    with warnings.catch_warnings():
        # About the libraries' own code, and not ours to mend.
        warnings.simplefilter("ignore")
        import sentence_transformers
        import torch
        import transformers

        talk: Any = transformers.utils.logging
        talk.set_verbosity_error()
        talk.disable_progress_bar()
        torch.set_num_threads(1)
        try:
            model = sentence_transformers.SentenceTransformer(
                str(source), device="cpu", local_files_only=True
            )
            model.eval()
            description = convert(model, target)
        except CannotConvert as problem:
            sys.stdout.write(f"{problem}\n")
            return EXIT_REFUSED
    (target / DESCRIPTION).write_text(description.to_json(), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
