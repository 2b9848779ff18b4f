"""The embed worker: texts in, unit vectors out, in a process of its own.

It knows neither the store's code nor Chroma. Its libraries may crash: whoever sent the work keeps
it until the answer is there.
"""
