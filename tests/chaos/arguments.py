"""What every kind of chaos can be told on the command line."""

from __future__ import annotations

import argparse
import random


def parser(doc: str | None) -> argparse.ArgumentParser:
    """One with ``--seed`` and ``--keep``; ``doc`` is that of the module that runs."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    made.add_argument("--keep", action="store_true", help="keep the folder of a run that failed")
    return made
