"""numpy arrays to and from the buffers of the wire. Apart from ``wire`` because the supervisor,
which only passes buffers on, loads no numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from thoth_core.errors import ProtocolError
from thoth_core.wire import Buffer

Vectors = npt.NDArray[np.float32]


def to_buffer(array: npt.NDArray[Any]) -> Buffer:
    """A buffer over ``array`` as little-endian float32, copied only if it is not that already."""
    flat = np.ascontiguousarray(array, dtype="<f4")
    view = flat.data.cast("B") if flat.size else memoryview(b"")
    return Buffer(tuple(flat.shape), view)


def from_buffer(buffer: Buffer) -> Vectors:
    """The array in ``buffer``, read-only and without a copy: it pins the message it came in."""
    if buffer.dtype != "<f4":
        raise ProtocolError(f"vectors of dtype {buffer.dtype}")
    return np.frombuffer(buffer.data, dtype="<f4").reshape(buffer.shape)
