"""The library client.

Nothing is imported here, so that the command line can reach the light modules (``control``,
``locate``) without paying for numpy and ZeroMQ. The public names come from ``thoth_core``.
"""
