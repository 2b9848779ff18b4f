"""Answers from what is stored: passages that are near, a prompt, a chat model, citations.

Nothing is imported here. What decides is pure; ``chat`` is the one file that talks to a server.
"""
