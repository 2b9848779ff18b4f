"""What torch says of a GPU: whether it can be computed on, what it computes fast, and what has
happened when a call failed. torch is passed in, so that all of it is tested where there is none."""

from __future__ import annotations

import logging
from typing import Any

from embed_worker.engines.base import Options
from thoth_core.devices import CPU, devices_for
from thoth_core.errors import SettingsError

#: From this generation on a GPU computes half precision in units of its own. Some before it are
#: slower in it than in fp32.
TENSOR_CORES = (7, 0)
#: Errors about memory that are not of the class which torch has for them.
_NO_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class NoSuchDevice(SettingsError):
    """The GPU that a worker was to compute on cannot be used. Where the user has not asked for one
    the CPU will do."""


def wanted(options: Options) -> str:
    """Where to compute: where the supervisor says; of a process without one, the first device."""
    if options.place:
        return options.place
    found = devices_for(options.model, options.engine, options.device)
    return found[0] if found else CPU


def there(torch: Any, place: str, options: Options, log: logging.Logger) -> str:
    """The device that a worker for ``place`` ("cuda:1") computes on; it has computed a little by
    then. Where torch shows fewer devices than the supervisor saw they are shared.

    Raises :class:`NoSuchDevice`.
    """
    try:
        if not torch.cuda.is_available():
            raise RuntimeError(f"torch {torch.__version__} finds no GPU that it can use")
        count = int(torch.cuda.device_count())
        index = int(place.partition(":")[2] or 0)
        if index >= count and options.device != place:
            log.warning("torch shows %d GPUs and not %s, so one is shared", count, place)
            index %= count
        device = f"cuda:{index}"
        # A driver that is too old, a GPU that torch has no code for, one that is another's alone or
        # is full: all of it shows at the first work.
        ones = torch.ones((8, 8), device=device)
        (ones @ ones).sum().item()
    except Exception as problem:
        raise NoSuchDevice(
            f"THOTH_DEVICE is {options.device}, and {place} cannot be computed on",
            cause=first_line(problem),
            fix="THOTH_DEVICE=auto",
        ) from problem
    return device


def half_precisions(torch: Any, device: str) -> tuple[str, ...]:
    """What this GPU computes faster than fp32, the nearer to fp32 first."""
    if tuple(torch.cuda.get_device_capability(device)) < TENSOR_CORES:
        return ()
    with torch.cuda.device(device):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    return ("fp16", "bf16") if native else ("fp16",)


def versions(torch: Any, device: str) -> dict[str, str]:
    """What else decides how a text is computed there, by name."""
    if device == CPU:
        return {}
    return {"gpu": str(torch.cuda.get_device_name(device)), "cuda": str(torch.version.cuda)}


def is_out_of_memory(torch: Any, problem: BaseException) -> bool:
    """Whether the device had no memory for the call; it can be given a smaller one."""
    if isinstance(problem, torch.OutOfMemoryError):
        return True
    return isinstance(problem, RuntimeError) and any(said in str(problem) for said in _NO_MEMORY)


def is_lost(torch: Any, device: str) -> bool:
    """Whether nothing more can be computed in this process: after some errors every call fails."""
    try:
        torch.cuda.synchronize(device)
    except Exception:
        return True
    return False


def first_line(problem: BaseException) -> str:
    """The problem in a line: what CUDA says goes on for many."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:300]
