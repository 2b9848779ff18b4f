"""The command lines ``thoth`` and ``thoth-supervisor``. Thin: what they do is in ``thoth_core``."""
