"""One part of the benchmark by itself, on the command line."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run_alone(
    what: str | None, measure: Callable[[bool], dict[str, Any]], show: Callable[[Any], None]
) -> None:
    """Measure and show, all of it small with ``--quick``. ``what`` is the module's docstring."""
    parser = argparse.ArgumentParser(description=(what or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="all of it small")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} before it", flush=True)
    found = measure(options.quick)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
