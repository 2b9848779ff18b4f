"""What is made of what torch says of a GPU, with a torch that says it."""

from __future__ import annotations

import contextlib
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from embed_worker.engines import cuda
from embed_worker.engines.base import Options
from thoth_core.errors import SettingsError

LOG = logging.getLogger("test.cuda")
MODEL = "all-MiniLM-L6-v2"


class OutOfMemoryError(RuntimeError):
    """torch's own is one too."""


def torch_with(
    devices: int,
    *,
    capability: tuple[int, int] = (9, 0),
    bf16: bool = True,
    works: str = "",
    lost: bool = False,
) -> Any:
    """A torch that sees so many GPUs; ``works``: what the first work says, if it fails."""

    class Tensor:
        def __matmul__(self, other: object) -> Tensor:
            return self

        def sum(self) -> Tensor:
            return self

        def item(self) -> float:
            if works:
                raise RuntimeError(works)
            return 64.0

    def ones(shape: tuple[int, int], device: str) -> Tensor:
        if int(device.partition(":")[2]) >= devices:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return Tensor()

    def synchronize(device: str) -> None:
        if lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def native(including_emulation: bool = True) -> bool:
        return bf16 or including_emulation

    return SimpleNamespace(
        __version__="2.13.0",
        OutOfMemoryError=OutOfMemoryError,
        ones=ones,
        version=SimpleNamespace(cuda="13.0"),
        cuda=SimpleNamespace(
            is_available=lambda: devices > 0,
            device_count=lambda: devices,
            get_device_capability=lambda device: capability,
            is_bf16_supported=native,
            synchronize=synchronize,
            get_device_name=lambda device: "NVIDIA H200",
            device=lambda device: contextlib.nullcontext(),
        ),
    )


def test_a_worker_computes_on_its_device() -> None:
    assert cuda.there(torch_with(2), "cuda:1", Options(MODEL), LOG) == "cuda:1"
    assert cuda.there(torch_with(2), "cuda", Options(MODEL, device="cuda"), LOG) == "cuda:0"


def test_fewer_devices_than_were_seen_are_shared(caplog: pytest.LogCaptureFixture) -> None:
    assert cuda.there(torch_with(2), "cuda:3", Options(MODEL), LOG) == "cuda:1"
    assert "2 GPUs and not cuda:3" in caplog.text


@pytest.mark.parametrize(
    ("torch", "device", "why"),
    [
        (torch_with(0), "auto", "finds no GPU"),
        (torch_with(0), "cuda", "finds no GPU"),
        (torch_with(1, works="CUDA error: no kernel image\nand a page more"), "auto", "no kernel"),
    ],
)
def test_one_that_cannot_be_computed_on_says_why(torch: Any, device: str, why: str) -> None:
    with pytest.raises(cuda.NoSuchDevice) as caught:
        cuda.there(torch, "cuda:0", Options(MODEL, device=device), LOG)
    problem = caught.value
    assert isinstance(problem, SettingsError)
    assert f"THOTH_DEVICE is {device}" in problem.message
    assert why in problem.cause
    assert "\n" not in problem.cause
    assert problem.fix == "THOTH_DEVICE=auto"


def test_a_device_that_was_named_is_not_taken_for_another() -> None:
    with pytest.raises(cuda.NoSuchDevice, match="cuda:3"):
        cuda.there(torch_with(2), "cuda:3", Options(MODEL, device="cuda:3"), LOG)


def test_half_precision_is_what_the_gpu_has_units_for() -> None:
    assert cuda.half_precisions(torch_with(1), "cuda:0") == ("fp16", "bf16")
    turing = torch_with(1, capability=(7, 5), bf16=False)
    assert cuda.half_precisions(turing, "cuda:0") == ("fp16",)
    assert cuda.half_precisions(torch_with(1, capability=(6, 1), bf16=False), "cuda:0") == ()


def test_the_gpu_is_among_the_versions() -> None:
    assert cuda.versions(torch_with(1), "cuda:0") == {"gpu": "NVIDIA H200", "cuda": "13.0"}
    assert cuda.versions(torch_with(0), "cpu") == {}


def test_want_of_memory_is_told_from_other_failures() -> None:
    torch = torch_with(1)
    assert cuda.is_out_of_memory(torch, OutOfMemoryError("CUDA out of memory. Tried to …"))
    assert cuda.is_out_of_memory(torch, RuntimeError("CUDA error: out of memory\nmore"))
    assert cuda.is_out_of_memory(torch, RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"))
    assert not cuda.is_out_of_memory(torch, RuntimeError("CUDA error: device-side assert"))
    assert not cuda.is_out_of_memory(torch, ValueError("CUDA error: out of memory"))


def test_torch_has_the_error_that_is_looked_for() -> None:
    import torch

    assert cuda.is_out_of_memory(torch, torch.OutOfMemoryError("…"))
    assert cuda.is_out_of_memory(torch, torch.cuda.OutOfMemoryError("…"))


def test_a_device_is_lost_if_it_does_not_answer() -> None:
    assert cuda.is_lost(torch_with(1, lost=True), "cuda:0")
    assert not cuda.is_lost(torch_with(1), "cuda:0")


def test_a_process_without_a_supervisor_finds_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "devices_for", lambda *about: ("cuda:0", "cuda:1"))
    assert cuda.wanted(Options(MODEL)) == "cuda:0"
    assert cuda.wanted(Options(MODEL, place="cuda:1")) == "cuda:1"
    assert cuda.wanted(Options(MODEL, place="cpu")) == "cpu"
    monkeypatch.setattr(cuda, "devices_for", lambda *about: ())
    assert cuda.wanted(Options(MODEL)) == "cpu"
