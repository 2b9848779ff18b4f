"""The engines, chosen by the name of the model."""

from __future__ import annotations

import logging

from embed_worker.engines.base import Engine, Options


def load_engine(options: Options, log: logging.Logger) -> Engine:
    """The engine for ``options.model``, ready to work.

    Each is imported only here and only when it is chosen, because its libraries are large. Raises
    a :class:`~thoth_core.errors.ThothError` that says why it cannot be had.
    """
    if options.model.startswith("fake/"):
        from embed_worker.engines import fake

        return fake.load(options)
    from embed_worker.engines import sentence_transformers

    return sentence_transformers.load(options, log)
