"""The supervisor: it starts the workers, watches them, restarts them, and is the one authority on
delivery. It stays small: nothing here loads numpy or an ML library.

``dispatch`` and ``slots`` decide and are pure; ``service`` is the loop that joins them to
processes and sockets.
"""
