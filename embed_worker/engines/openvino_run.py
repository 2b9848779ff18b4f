"""A converted model on the cores of this machine: one thread, one request at a time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embed_worker.engines.base import Vectors
from embed_worker.engines.compiled import compiled
from embed_worker.engines.converted_model import GRAPH
from embed_worker.engines.openvino_import import import_openvino
from embed_worker.engines.processor import processor

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_CPUINFO = Path("/proc/cpuinfo")


class Graph:
    """``precision`` is "fp32" or "bf16". What is compiled is kept beside the model if ``log`` is
    given. Not for several threads at once."""

    def __init__(
        self, folder: Path, precision: str, threads: int, log: logging.Logger | None = None
    ) -> None:
        openvino = import_openvino()
        self._core = openvino.Core()
        config = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Dispatch starts the workers, and the kernel places them.
            "ENABLE_CPU_PINNING": False,
        }

        def compile_with(more: Mapping[str, str]) -> Any:
            return self._core.compile_model(str(folder / GRAPH), "CPU", {**config, **more})

        if log is None:
            self._compiled = compile_with({})
        else:
            place = folder / f"compiled-{precision}-{threads}-{processor()}"
            self._compiled = compiled(place, compile_with, log)
        self._request = self._compiled.create_infer_request()

    def run(self, features: dict[str, Any]) -> Vectors:
        """Unit vectors of the rows in ``features``, float32 (rows, dimension)."""
        self._request.infer(features, share_inputs=True)
        return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)

    def threads(self) -> int:
        return int(self._compiled.get_property("INFERENCE_NUM_THREADS"))


def has_bf16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the processor multiplies bfloat16 natively; where it does not it is emulated, and
    slower than fp32."""
    openvino = import_openvino()
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return False
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    return any(flag in text for flag in ("avx512_bf16", "amx_bf16", " bf16"))
