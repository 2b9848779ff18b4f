"""How the lines begin at which source code is well cut, by language. Pure.

Each pattern is tried at the beginning of each line and looks at a bounded part of it, so that time
is linear in the length of the text, whatever stands in it.
"""

from __future__ import annotations

_PYTHON = r"^[ \t]*+(?:@\w|(?:async[ \t]+def|def|class|cdef|cpdef)\b)|^if __name__\b"
_C = (
    r"^(?:[A-Za-z_~][^\n;=]{0,200}?\([^\n;]{0,200}$"
    r"|(?:typedef +)?(?:class|struct|union|enum|namespace|template)\b|#[ \t]*define\b)"
)
_CLASSES = (
    r"^[ \t]*+(?:(?:public|private|protected|internal|static|final|abstract|sealed|override|open"
    r"|data|async|partial|virtual|synchronized|case|implicit|suspend|inline|export|default|declare"
    r")[ \t]++)*+(?:class|interface|enum|record|trait|object|struct|namespace|module|protocol"
    r"|extension|fun|func|function|def|init|constructor|actor|mixin)\b"
    r"|^[ \t]*+(?:public|private|protected|internal|static)\b[^\n;=]{0,200}?\([^\n;]{0,200}$"
)
_SCRIPT = _CLASSES + (
    r"|^(?:export[ \t]++)?(?:const|let|var|type)[ \t]++\w{1,80}[^\n=]{0,80}=[ \t]*+"
    r"(?:async\b|function\b|\(|\w{1,80}[ \t]*=>|\{)"
    r"|^[ \t]++(?!(?:if|for|while|switch|catch|return)\b)(?:async[ \t]++|[gs]et[ \t]++|\*[ \t]*+)?"
    r"[\w#$]{1,80}\([^\n;]{0,200}\{[ \t]{0,8}$"
)
_RUST = (
    r"^[ \t]*+(?:pub(?:\([^)\n]{0,40}\))?[ \t]++)?"
    r"(?:(?:async|unsafe|const|default|extern(?: \"\w{1,20}\")?)[ \t]++)*+"
    r"(?:fn|struct|enum|trait|impl|mod|union|type|macro_rules!)(?!\w)"
)

#: A name for the language, its suffixes and the whole names of its files, and its pattern.
LANGUAGES = (
    ("python", ".py .pyi .pyw .pyx .pxd", _PYTHON),
    ("c", ".c .h .cc .cpp .cxx .hh .hpp .hxx .inl .ino .m .mm .cu .cuh .glsl .d", _C),
    ("java", ".java .kt .kts .scala .cs .groovy .gradle .swift .dart .php .zig .sol", _CLASSES),
    ("javascript", ".js .mjs .cjs .jsx .ts .mts .cts .tsx .vue .svelte", _SCRIPT),
    ("go", ".go", r"^(?:func|type|var|const)\b"),
    ("rust", ".rs", _RUST),
    (
        "ruby",
        ".rb .rake .gemspec .cr .ex .exs rakefile gemfile vagrantfile podfile brewfile",
        r"^[ \t]*+(?:def|defp|defmodule|defmacro|class|module|describe|it|task|namespace)\b",
    ),
    ("shell", ".sh .bash .zsh .fish .ksh", r"^(?:[\w:.-]{1,80}[ \t]*+\(\)|function\b)"),
    ("lua", ".lua", r"^[ \t]*+(?:local[ \t]++)?function\b"),
    ("perl", ".pl .pm", r"^(?:sub|package)\b|^=head\d"),
    (
        "r",
        ".r .jl",
        r"^[\w.]{1,80}[ \t]*+(?:<-|=)[ \t]*+function\b|^(?:function|struct|module|macro)\b",
    ),
    (
        "haskell",
        ".hs .elm .ml .mli .fs .fsx",
        r"^(?:data|type|class|instance|module|newtype|let|and|val)\b|^\w{1,80}[ \t]*+::",
    ),
    ("lisp", ".lisp .cl .el .scm .clj .cljs .cljc .rkt", r"^\("),
    ("erlang", ".erl .hrl", r"^[a-z]\w{0,80}\("),
    (
        "sql",
        ".sql",
        r"^(?i:create|alter|insert|select|with|drop|update|delete|grant|comment|begin|copy)\b",
    ),
    (
        "schema",
        ".proto .thrift .graphql .gql",
        r"^(?:message|service|enum|struct|type|interface|input|extend|union|query|mutation)\b",
    ),
    ("terraform", ".tf .hcl .nix", r"^[a-z][^\n]{0,200}\{[ \t]{0,8}$"),
    ("css", ".css .scss .sass .less", r"^[^\s}/*][^\n;]{0,200}\{"),
    ("toml", ".toml .ini .cfg .conf .properties", r"^\["),
    ("yaml", ".yaml .yml", r"^(?:---|[\w\"'][^\n:]{0,200}:)"),
    ("make", ".mk .make makefile gnumakefile justfile", r"^[\w.%$(/][^\n:=]{0,200}:(?!=)"),
    ("cmake", ".cmake cmakelists.txt", r"^(?i:function|macro|if|add_\w{1,40})[ \t]*+\("),
    ("batch", ".bat .cmd", r"^:\w"),
    (
        "script",
        ".ps1 .psm1 .vim .awk .tcl .nim .bzl .pas",
        r"^(?i:function|proc|def|class|procedure)\b",
    ),
    ("fortran", ".f .f90 .f95", r"^[ \t]*+(?i:subroutine|function|module|program)\b"),
    ("diff", ".diff .patch", r"^(?:diff |Index: |@@ )"),
    ("assembler", ".asm .s", r"^\w{1,80}:"),
    ("dockerfile", ".dockerfile dockerfile containerfile", r"^(?i:from)[ \t]"),
    ("jenkinsfile", "jenkinsfile", r"^[ \t]*+(?:stage|pipeline|def)\b"),
    ("list", "procfile codeowners go.mod go.work", r"^(?:require|replace|exclude)\b"),
)
