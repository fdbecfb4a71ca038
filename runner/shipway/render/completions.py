"""Completion scripts for bash, zsh and fish, from a description of the command line. They start no program of ours when used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct


class Value(StrEnum):
    """What may stand where a value is wanted: nothing, a file, one of a few words, any text, or a name of the declaration."""

    NONE = "none"
    FILE = "file"
    WORD = "word"
    TEXT = "text"
    TARGET = "target"
    STAGE = "stage"
    LOCK = "lock"


class Option(Struct, frozen=True):
    """One option by all its names (`-f`, `--file`); `words` are the choices of a WORD."""

    names: tuple[str, ...]
    help: str
    value: Value = Value.NONE
    words: tuple[str, ...] = ()


class Command(Struct, frozen=True):
    """One command, its options, and what its argument is."""

    name: str
    help: str
    options: tuple[Option, ...]
    argument: Value = Value.NONE
    words: tuple[str, ...] = ()


# The names below a key of the nearest shipway.yml, of a mapping or a list, in flow or in block form. It reads what people
# write, and is silent on the rest. Only plain names come out: shells expand some of what they are handed for completion.
_AWK = r"""
function tell(name) { gsub(/[ "]/, "", name); if (name ~ /^[A-Za-z0-9][A-Za-z0-9.-]*$/) print name }
function flow(text,    i, c, depth, word, list) {
  for (i = 1; i <= length(text); i++) {
    c = substr(text, i, 1)
    if (c == "{" || c == "[") { if (!depth++) list = c == "["; word = "" }
    else if (c == "}" || c == "]") { if (!--depth) { if (list) tell(word); exit } }
    else if (depth == 1 && c == ":") { tell(word); word = "" }
    else if (depth == 1 && c == ",") { if (list) tell(word); word = "" }
    else if (depth == 1) word = word c
  }
}
index($0, key ":") == 1 {
  rest = substr($0, length(key) + 2)
  if (rest ~ /[{[]/) flow(rest); else inside = 1
  next
}
inside && /^[^ #-]/ { exit }
inside && /^ *(- +)?[A-Za-z0-9"]/ {
  match($0, /^ */)
  if (!indent) indent = RLENGTH + 1
  if (RLENGTH + 1 == indent) { name = substr($0, indent); sub(/^- +/, "", name); sub(/:.*| #.*/, "", name); tell(name) }
}
"""

_FIND = """\
_shipway_names() {
  local directory=$PWD
  while [[ -n $directory && ! -f $directory/shipway.yml ]]; do directory=${directory%/*}; done
  [[ -f $directory/shipway.yml ]] && awk -v key="$1" '@AWK@' "$directory/shipway.yml"
}
""".replace("@AWK@", _AWK)


def completion_script(shell: str, commands: Sequence[Command]) -> str:
    """The script for `bash`, `zsh` or `fish`."""
    scripts: Mapping[str, Callable[[Sequence[Command]], Iterator[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    return "\n".join(scripts[shell](commands)) + "\n"


# bash

# Read line by line: word splitting would expand `*` in a name to the files that are there.
_BASH_REPLIES = """\
_shipway_words() {
  local word
  while IFS= read -r word; do [[ -n $word && $word == "$current"* ]] && COMPREPLY+=("$word"); done <<<"$1"
}
_shipway_files() {
  local word
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current")
  compopt -o filenames 2>/dev/null
}"""


def _bash(commands: Sequence[Command]) -> Iterator[str]:
    yield "# bash completion for shipway"
    yield _FIND
    yield _BASH_REPLIES
    yield "_shipway() {"
    yield "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}"
    yield "  COMPREPLY=()"
    yield "  # `--target=x` comes as three words."
    yield "  if [[ $current == = ]]; then current=; elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi"
    yield "  if ((COMP_CWORD == 1)); then"
    yield f"    _shipway_words {_lines([*(command.name for command in commands), '--help', '--version'])}; return"
    yield "  fi"
    yield '  case "$command $before" in'
    for command in commands:
        for option in command.options:
            if option.value is not Value.NONE:
                yield f"    {'|'.join(_quoted(f'{command.name} {name}') for name in option.names)})"
                yield f"      {_bash_value(option.value, option.words)}; return ;;"
    yield "  esac"
    yield '  case "$command $current" in'
    for command in commands:
        names = [name for option in command.options for name in option.names]
        yield f"    {_quoted(command.name + ' -')}*) _shipway_words {_lines(names)} ;;"
    yield "    *) case $command in"
    for command in commands:
        if command.argument is not Value.NONE:
            yield f"      {command.name}) {_bash_value(command.argument, command.words)} ;;"
    yield "    esac ;;"
    yield "  esac"
    yield "}"
    yield "complete -F _shipway shipway"


def _bash_value(value: Value, words: Sequence[str]) -> str:
    match value:
        case Value.FILE:
            return "_shipway_files"
        case Value.WORD:
            return f"_shipway_words {_lines(words)}"
        case Value.TARGET:
            return '_shipway_words "$(_shipway_names targets)"'
        case Value.STAGE:
            return '_shipway_words "$(_shipway_names stages)"'
        case Value.LOCK:
            return '_shipway_words "$(_shipway_names locks)"'
    return ":"


def _lines(words: Sequence[str]) -> str:
    return "$'" + "\\n".join(words) + "'"


# zsh


def _zsh(commands: Sequence[Command]) -> Iterator[str]:
    yield "#compdef shipway"
    yield _FIND
    yield '_shipway_targets() { local -a found; found=(${(f)"$(_shipway_names targets)"}); compadd -a found }'
    yield '_shipway_stages() { local -a found; found=(${(f)"$(_shipway_names stages)"}); compadd -a found }'
    yield '_shipway_locks() { local -a found; found=(${(f)"$(_shipway_names locks)"}); compadd -a found }'
    yield "_shipway() {"
    yield "  local -a commands"
    yield "  commands=("
    for command in commands:
        yield f"    {_quoted(command.name + ':' + command.help)}"
    yield "  )"
    yield "  if ((CURRENT == 2)); then _describe command commands; return; fi"
    yield "  local command=$words[2]"
    yield "  shift words; ((CURRENT--))"
    yield "  case $command in"
    for command in commands:
        yield f"    {command.name}) _arguments -s \\"
        for option in command.options:
            yield from (f"      {spec} \\" for spec in _zsh_option(option))
        yield f"      {_quoted('*:argument:' + _zsh_value(command.argument, command.words))} ;;"
    yield "  esac"
    yield "}"
    yield "# Sourced it registers itself; found in $fpath it is called."
    yield 'if [[ $funcstack[1] == _shipway ]]; then _shipway "$@"; else compdef _shipway shipway; fi'


def _zsh_option(option: Option) -> Iterator[str]:
    text = "".join(f"\\{char}" if char in "[]:\\" else char for char in option.help)
    for name in option.names:
        value = "" if option.value is Value.NONE else f":value:{_zsh_value(option.value, option.words)}"
        equals = "=" if name.startswith("--") and value else ""
        yield _quoted(f"*{name}{equals}[{text}]{value}")


def _zsh_value(value: Value, words: Sequence[str]) -> str:
    match value:
        case Value.FILE:
            return "_files"
        case Value.WORD:
            return f"({' '.join(words)})"
        case Value.TARGET:
            return "_shipway_targets"
        case Value.STAGE:
            return "_shipway_stages"
        case Value.LOCK:
            return "_shipway_locks"
    return " "


# fish


def _fish(commands: Sequence[Command]) -> Iterator[str]:
    yield "# fish completion for shipway"
    yield "function __shipway_names"
    yield "  set -l directory $PWD"
    yield '  while test -n "$directory"; and not test -f $directory/shipway.yml'
    yield "    set directory (string replace -r '/[^/]*$' '' -- $directory)"
    yield "  end"
    yield f"  test -f $directory/shipway.yml; and awk -v key=$argv[1] {_fish_quoted(_AWK)} $directory/shipway.yml"
    yield "end"
    yield "complete -c shipway -f"
    yield "complete -c shipway -n __fish_use_subcommand -l help -s h -d 'show help'"
    yield "complete -c shipway -n __fish_use_subcommand -l version -s V -d 'show the version'"
    for command in commands:
        yield f"complete -c shipway -n __fish_use_subcommand -a {command.name} -d {_fish_quoted(command.help)}"
    for command in commands:
        seen = f"-n '__fish_seen_subcommand_from {command.name}'"
        if command.argument is not Value.NONE:
            yield f"complete -c shipway {seen} {_fish_value(command.argument, command.words)}"
        for option in command.options:
            names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
            value = "" if option.value is Value.NONE else f" -r {_fish_value(option.value, option.words)}"
            yield f"complete -c shipway {seen} {' '.join(names)}{value} -d {_fish_quoted(option.help)}"


def _fish_value(value: Value, words: Sequence[str]) -> str:
    match value:
        case Value.FILE:
            return "-F"
        case Value.WORD:
            return f"-f -a {_fish_quoted(' '.join(words))}"
        case Value.TARGET:
            return "-f -a '(__shipway_names targets)'"
        case Value.STAGE:
            return "-f -a '(__shipway_names stages)'"
        case Value.LOCK:
            return "-f -a '(__shipway_names locks)'"
    return "-f"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
