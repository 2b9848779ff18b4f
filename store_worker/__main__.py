"""``python -m store_worker``, started by a supervisor."""

if __name__ == "__main__":
    from store_worker.service import serve
    from thoth_core.worker.run import run_worker

    raise SystemExit(run_worker("store", serve))
