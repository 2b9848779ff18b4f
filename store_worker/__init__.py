"""The one owner of the data directory: a ledger that is the truth, and Chroma as an index of it.

Never imports torch, openvino, sentence_transformers or openai.
"""
