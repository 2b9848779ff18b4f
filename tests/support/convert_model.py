"""``python -m tests.support.convert_model``: the converted model, in the user's cache.

On a machine where it never ran, converting and timing it takes a quarter of a minute of one core,
and several times that beside other tests: more than those that start a service with it wait.
"""

from __future__ import annotations

from tests.support.service import RealService


def main() -> None:
    service = RealService.make("all-MiniLM-L6-v2")
    try:
        service.start()
    finally:
        service.close()


if __name__ == "__main__":
    main()
