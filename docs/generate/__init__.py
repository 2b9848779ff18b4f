"""The parts of the documentation that are made from the code, and are committed as it is:

python -m docs.generate            writes them
python -m docs.generate --check    exits with 1 and names those that are not as they would be
"""
