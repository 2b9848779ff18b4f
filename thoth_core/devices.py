"""Which GPUs the workers of a model have. Told without torch, which the supervisor does not load:
what is found here is what to try, and the worker, which has torch, has the last word."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from thoth_core.cores import available_cores

DEV = Path("/dev")
_NODE = re.compile(r"nvidia\d+")
_NO_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*None\b", re.MULTILINE)
CPU = "cpu"


def devices_for(
    model: str,
    engine: str,
    device: str,
    environ: Mapping[str, str] = os.environ,
    *,
    dev: Path = DEV,
    torch: Path | None = None,
) -> tuple[str, ...]:
    """Where the workers of ``model`` are to compute, one worker a device: ``("cuda:0", "cuda:1")``;
    empty for the CPU, where it is one a core.

    ``engine`` and ``device`` are the settings THOTH_ENGINE and THOTH_DEVICE. One that names CUDA is
    believed also where none is found: the worker says what is wrong. ``torch`` is the folder of the
    package, the installed one if None.
    """
    if device == CPU or model.startswith(("fake/", "openai/")):
        return ()
    if device.startswith("cuda:"):
        return (device,)
    count = cuda_devices(environ, dev)
    if device == "auto" and (engine == "openvino" or not count or not _has_cuda(torch)):
        return ()
    return tuple(f"cuda:{index}" for index in range(max(1, count)))


def cuda_devices(environ: Mapping[str, str], dev: Path = DEV) -> int:
    """How many devices CUDA would show a process with this environment, as far as can be told from
    outside: the nodes that this user may open, and of those what CUDA_VISIBLE_DEVICES lets through.
    A container has the nodes of its own devices only; the driver's list in ``/proc`` has all."""
    try:
        nodes = [node for node in dev.iterdir() if _NODE.fullmatch(node.name)]
    except OSError:
        return 0
    there = sum(os.access(node, os.R_OK | os.W_OK) for node in nodes)
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    return there if visible is None else min(there, _shown(visible, there))


def _shown(visible: str, there: int) -> int:
    """How many devices of ``there`` CUDA_VISIBLE_DEVICES shows: those before the first word that
    names none, and none at all if one is named twice."""
    names: list[str] = []
    for word in visible.split(","):
        name = word.strip()
        if name.startswith("MIG-"):
            # A process sees one part of a partitioned device, whatever it lists.
            return 1
        if not (name.startswith("GPU-") or (name.isascii() and name.isdigit())):
            break
        if name.isdigit() and int(name) >= there:
            break
        names.append(name)
    return len(names) if len(set(names)) == len(names) else 0


def _has_cuda(torch: Path | None) -> bool:
    """Whether torch is installed with CUDA. Its build says so in a small file of its own."""
    if torch is None:
        from importlib.util import find_spec

        # For a module without a dot this looks the files up and imports nothing.
        spec = find_spec("torch")
        roots = list(spec.submodule_search_locations or ()) if spec is not None else []
        if not roots:
            return False
        torch = Path(roots[0])
    try:
        text = (torch / "version.py").read_text("utf-8", "replace")
    except OSError:
        return False
    return not _NO_CUDA.search(text)


def place(devices: tuple[str, ...], lane: str, slot: str) -> str:
    """Where the worker in ``slot`` computes. Those for bulk take the devices in turn by the number
    at the end of their names. The one for queries is on the first: it computes as the others do,
    with whom it changes places when one of them is away."""
    if not devices:
        return CPU
    number = int(slot.rpartition("-")[2]) if lane == "bulk" else 1
    return devices[(number - 1) % len(devices)]


def threads(devices: tuple[str, ...], bulk_workers: int, cores: int | None = None) -> int:
    """Threads of one worker. On the CPU one, because there are as many workers as cores; beside a
    GPU, which its tokenising has to keep up with, its share of the cores."""
    if not devices:
        return 1
    return max(1, (available_cores() if cores is None else cores) // max(1, bulk_workers))
