"""``python -m thoth_core.supervisor``: the daemon. People use ``thoth-supervisor start``."""

from thoth_core.supervisor.daemon import daemon

if __name__ == "__main__":
    raise SystemExit(daemon())
