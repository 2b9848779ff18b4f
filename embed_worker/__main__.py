"""``python -m embed_worker``: started by a supervisor, never by hand."""

from __future__ import annotations

if __name__ == "__main__":
    from embed_worker.service import serve
    from thoth_core.worker.run import run_worker

    raise SystemExit(run_worker("embed", serve))
