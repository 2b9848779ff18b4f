"""A torch model in half precision, if its vectors are near enough to those of fp32.

In fp16 the weights are fp16 too. In bf16 they stay as they are and torch casts what it multiplies:
rounded to bf16 all through, the vectors of all-MiniLM-L6-v2 have a least cosine of 0.99988 to those
of fp32, and so one of 0.99995; in fp16 it is 0.999998.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Sequence
from typing import Any

from embed_worker.engines.base import Vectors
from embed_worker.engines.converted_model import LEAST_COSINE
from thoth_core.errors import SettingsError

#: The least cosine to the vectors of fp32, as for a model that was converted.
LEAST = LEAST_COSINE["bf16"]
#: The vectors of some texts by a model in a precision.
Compute = Callable[[Any, str], Vectors]


def choose(
    model: Any, wanted: str, fast: Sequence[str], compute: Compute, log: logging.Logger
) -> tuple[Any, str]:
    """The model and the precision to compute in. ``wanted`` is the setting, ``fast`` what this
    device computes faster than fp32, the best first. ``model`` is in fp32, and stays so.

    Raises :class:`SettingsError` if ``wanted`` is one that this model does not do with.
    """
    tried = tuple(fast) if wanted == "auto" else (wanted,)
    if tried in ((), ("fp32",)):
        return model, "fp32"
    exact = compute(model, "fp32")
    found = []
    for precision in tried:
        made = rounded(model, precision)
        cosine = least_cosine(exact, compute(made, precision))
        # Also NaN, which numbers beyond fp16 become, is below it.
        if cosine >= LEAST:
            log.info("computing in %s: its least cosine to fp32 is %.6f", precision, cosine)
            return made, precision
        found.append(f"{precision} has a cosine of {cosine:.6f} to fp32, {LEAST} is the least")
    if wanted != "auto":
        raise SettingsError(
            f"THOTH_PRECISION is {wanted}, which does not do for this model",
            cause=found[0],
            fix="THOTH_PRECISION=auto",
        )
    log.warning("computing in fp32, slower: %s", "; ".join(found))
    return model, "fp32"


def rounded(model: Any, precision: str) -> Any:
    """The model with its weights in what ``precision`` wants; ``model`` itself stays in fp32."""
    if precision != "fp16":
        return model
    import torch

    return copy.deepcopy(model).to(torch.float16)


def computing(torch: Any, device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """What a call in ``precision`` is made in."""
    if precision != "bf16":
        return contextlib.nullcontext()
    cast: contextlib.AbstractContextManager[Any] = torch.autocast(
        device.partition(":")[0], dtype=torch.bfloat16
    )
    return cast


def least_cosine(one: Vectors, two: Vectors) -> float:
    """Over the rows of both, unit vectors."""
    return float((one.astype("float64") * two.astype("float64")).sum(axis=1).min())
