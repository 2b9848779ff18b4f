"""How much of a disk the store leaves alone."""

from __future__ import annotations

#: A full disk must never be met inside Chroma 1.5.9: the call after that may hang for good, or
#: report rows as taken that no search finds. So no write is begun with less than this free.
RESERVE_BYTES = 32 * 1024 * 1024
