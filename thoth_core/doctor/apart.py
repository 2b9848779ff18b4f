"""``python -m thoth_core.doctor.apart``: a check in a process of its own."""

from __future__ import annotations

if __name__ == "__main__":
    from thoth_core.doctor.runner import main

    main()
