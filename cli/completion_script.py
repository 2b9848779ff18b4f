"""``thoth completion``."""

from __future__ import annotations

import click

from cli.examples import examples
from cli.options import Options, common


@examples(
    ("thoth completion bash", "look at it"),
    (
        "thoth completion fish > thoth.fish",
        "into a file, which belongs into ~/.config/fish/completions",
    ),
)
@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common
@click.pass_obj
def completion(options: Options, shell: str) -> None:
    """Print the script that has SHELL complete commands, options, collections and sources.

    \b
    bash:  thoth completion bash > ~/.local/share/bash-completion/completions/thoth
    zsh:   thoth completion zsh > ~/.zfunc/_thoth
           (with fpath+=(~/.zfunc); autoload -Uz compinit; compinit in ~/.zshrc)
    fish:  thoth completion fish > ~/.config/fish/completions/thoth.fish

    Make the folder first if it is not there (mkdir -p). It is in force in the next shell; in the
    present one after: source <(thoth completion bash)
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    # Not kind.source(): that looks for bash and complains about it.
    asked = kind(click.Command("thoth"), {}, "thoth", "_THOTH_COMPLETE")
    script = _mended(asked.source_template) % asked.source_vars()
    if options.output.json:
        options.output.document({"shell": shell, "script": script})
    else:
        options.output.line(script.strip())


def _mended(script: str) -> str:
    """Click's script for bash loses backslashes, expands wildcards in what it is told, and sets a
    blank after a folder."""
    script = script.replace("read type value", "read -r type value")
    return script.replace(
        "COMPREPLY+=($value)",
        'COMPREPLY+=("$value")\n            [[ $value == */ ]] && compopt -o nospace',
    )
