"""The model as ONNX Runtime computes it fastest: ``python -m benchmarks.speed_onnx TARGET``.

Pooling and normalisation are in the graph. Attention is exported in its plain form, because ONNX
Runtime's own optimiser for transformers then fuses all six of the model's into one operator each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def export_onnx(target: Path) -> None:
    """In a process of its own: torch is not for the one that measures."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.speed_onnx", str(target)]
    done = subprocess.run(
        command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"the export to ONNX ended with {done.returncode}: {done.stderr}")


def main(target: str) -> None:
    import torch
    from onnxruntime.transformers import optimizer
    from sentence_transformers import SentenceTransformer

    from benchmarks.peer import model_folder

    plain = {"attn_implementation": "eager"}
    model = SentenceTransformer(model_folder(), device="cpu", model_kwargs=plain).eval()

    class Unit(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            given = {
                "input_ids": input_ids,
                "attention_mask": attention_mask,
                "token_type_ids": token_type_ids,
            }
            vectors = self.model(given)["sentence_embedding"]
            return torch.nn.functional.normalize(vectors, p=2, dim=1)

    made = model.preprocess(["a few words", "and some more of them"])
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        Unit(),
        tuple(made[name] for name in names),
        target,
        input_names=names,
        output_names=["vectors"],
        dynamo=False,
        opset_version=17,
        dynamic_axes={name: {0: "rows", 1: "pieces"} for name in names},
    )
    fused = optimizer.optimize_model(
        target, model_type="bert", num_heads=12, hidden_size=384, opt_level=0
    )
    attention = fused.get_fused_operator_statistics()["Attention"]
    if attention != 6:
        raise RuntimeError(f"{attention} of 6 attentions were fused: the comparison is not fair")
    fused.save_model_to_file(target)


if __name__ == "__main__":
    main(sys.argv[1])
