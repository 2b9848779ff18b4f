"""``thoth doctor``: looks for what is wrong, for real, and names the command that mends it.

``registry`` lists the checks, each a small file in ``checks``; ``runner`` runs them one after
another and lets none of them crash or hang the rest. Nothing is changed by looking: what ``--fix``
does is what the results name, and ``mending`` does that.
"""
