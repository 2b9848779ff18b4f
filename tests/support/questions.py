"""Questions to the Python language reference (``pydoc_data.topics``): forty that it answers, with
the topics that do, and forty that it does not. They were written before any of their scores was
known, and none was taken out for its score."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics

#: Question to the topics of which each holds the answer.
ANSWERED: dict[str, tuple[str, ...]] = {
    "how do I write a context manager?": ("with", "context-managers", "compound", "specialnames"),
    "what does the with statement do?": ("with", "compound", "context-managers"),
    "what is the difference between break and continue?": ("break", "continue", "while", "for"),
    "what does the pass statement do?": ("pass",),
    "how do I raise an exception from another exception?": ("raise",),
    "when is the finally clause executed?": ("try", "compound"),
    "which operator binds more tightly, * or +?": ("operator-summary",),
    "how does slicing with a step work?": ("slicings", "typesseq", "types", "sequence-types"),
    "what is a generator?": ("types", "yield", "specialnames", "objects", "typesseq"),
    "what does yield from do?": ("yield",),
    "how do I define an async function?": ("async", "compound"),
    "where may await be used?": ("await", "async", "compound"),
    "what is the meaning of the global statement?": ("global", "naming"),
    "how does nonlocal bind names?": ("nonlocal", "naming"),
    "which names are reserved as keywords?": ("identifiers",),
    "how are f-strings evaluated?": ("strings",),
    "what does the format spec >10.2f mean?": ("formatstrings",),
    "how do I remove whitespace from the ends of a string?": ("string-methods",),
    "how do I split a string into words?": ("string-methods",),
    "how can I check whether a string consists of digits?": ("string-methods",),
    "how is a dictionary display written?": ("dict",),
    "what does dict.setdefault do?": ("typesmapping",),
    "how do I reverse a list in place?": ("typesseq-mutable", "typesseq"),
    "how does list.sort work and is it stable?": ("typesseq", "typesseq-mutable"),
    "what values are considered false?": ("truth", "booleans"),
    "what is the difference between is and ==?": ("comparisons", "booleans", "in"),
    "how do chained comparisons such as a < b < c work?": ("comparisons",),
    "how do decorators of functions work?": ("function", "compound"),
    "what happens with mutable default arguments?": ("function", "compound"),
    "how do I define a class with a metaclass?": ("class", "specialnames", "compound"),
    "when is __del__ called?": ("customization", "specialnames"),
    "what is __slots__ for?": ("attribute-access", "specialnames"),
    "how do descriptors work?": ("attribute-access", "specialnames"),
    "what does __hash__ have to return?": ("customization", "specialnames"),
    "how does the import statement find modules?": ("import",),
    "what are star arguments in a call?": ("calls",),
    "how do I set a breakpoint in the debugger?": ("debugger",),
    "how can I step through code with pdb?": ("debugger",),
    "what is a lambda expression?": ("lambda",),
    "how does pattern matching with case guards work?": ("compound",),
}

#: Of other worlds altogether.
FAR: tuple[str, ...] = (
    "how do I bake sourdough bread?",
    "what is the capital of Mongolia?",
    "who won the football world cup in 1998?",
    "when should tomatoes be planted outside?",
    "what are the side effects of ibuprofen?",
    "how long does a flight from Paris to Tokyo take?",
    "what is the boiling point of ethanol?",
    "how do I change the oil of my car?",
    "which treaty ended the thirty years' war?",
    "how is the mortgage interest rate determined?",
    "what do hedgehogs eat in winter?",
    "who painted the girl with a pearl earring?",
    "how tall is the Eiffel tower?",
    "what is the notice period in a rental contract?",
    "how do vaccines train the immune system?",
    "which instruments are in a string quartet?",
    "how do I knit a pair of socks?",
    "what causes the northern lights?",
    "when does the supermarket close on Sundays?",
    "how do I get a stain of red wine out of a carpet?",
)

#: Of the same world: programming, and mostly Python, but nothing that the reference says.
NEAR: tuple[str, ...] = (
    "how do I merge two data frames with pandas?",
    "how do I undo the last commit in git?",
    "how do I write a for loop in bash?",
    "what is a foreign key in a SQL database?",
    "how do I configure middleware in Django?",
    "how do I train a neural network with PyTorch?",
    "how do I plot a histogram with matplotlib?",
    "how do I centre a div with CSS?",
    "what is the borrow checker in Rust?",
    "how do I publish a package on PyPI?",
    "how do I send an HTTP request with a bearer token?",
    "how do I build a Docker image for a web service?",
    "what is the time complexity of quicksort?",
    "how do I scrape a table from a web page?",
    "how do I connect to a PostgreSQL server?",
    "how do goroutines communicate over channels?",
    "how do I make a virtual environment with conda?",
    "what is a monad in Haskell?",
    "how do I deploy a function to a Kubernetes cluster?",
    "how do I validate an e-mail address with a regular expression?",
)


def write_reference(folder: Path) -> Path:
    """The language reference as files, one a topic."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in topics.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder
