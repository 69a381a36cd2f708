"""Arguments of commands: one style of options, and one-line answers to mistakes.

In the name of an option ``-`` and ``_`` are the same everywhere.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from img2img.other_toolkits import name_here
from img2img.program import command, wording

DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"  # of web pages and word processors: hyphens, dashes, minus

OF_TRAINING = re.compile(r"--(model|optim|train|balance|data)\.(\w[\w.-]*)")  # options of a training, by section


class Parser(argparse.ArgumentParser):
    """argparse with this style, which raises ValueError with a one-line message."""

    def __init__(self, name: str, description: str | None, *, renamed: Mapping[str, str] | None = None) -> None:
        """A parser of the command ``name``, whose docstring is the description.

        Args:
            name: the command.
            description: first lines of --help.
            renamed: the present names of options, by former ones, which still work with a note.
        """
        raw = argparse.RawDescriptionHelpFormatter  # keeps the line breaks of the examples in a docstring
        text = wording(description or "")
        super().__init__(prog=command(name), description=text, formatter_class=raw, allow_abbrev=False)
        self.name, self.renamed = name, dict(renamed or {})

    def parse_args(  # type: ignore[override]  # without the overloads of namespaces
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parses ``args``, by default those of the program. Raises ValueError."""
        words = list(sys.argv[1:] if args is None else args)
        refuse_wrong_dashes(words)
        known = {_plain(option): option for option in self._option_string_actions if option.startswith("--")}
        return super().parse_args([_in_our_style(word, known) for word in self._with_present_names(words)], namespace)

    def _with_present_names(self, words: Sequence[str]) -> list[str]:
        """The words with present names of options for former ones; prints each change once."""
        names = [word.partition("=")[0] for word in words]
        for former, present in self.renamed.items():
            if former in names:
                print(f"note: {former} is now {present}; the former name still works", file=sys.stderr)
        return [self.renamed.get(name, name) + word[len(name) :] for name, word in zip(names, words, strict=True)]

    def error(self, message: str) -> NoReturn:
        """Raises ValueError."""
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        if not unknown:
            raise ValueError(f"{message}; --help lists the options")
        option = unknown[1].partition("=")[0]
        if not option.startswith("-"):
            raise ValueError(f"{option}: not an option; write options as --key value (--help lists them)")
        here = name_here(self.name, option)
        near = nearest(option, [known for known in self._option_string_actions if known.startswith("--")])
        hint = f"here: {here}" if here else f"did you mean {near[0]}?" if near else "--help lists the options"
        raise ValueError(f"{message}; {hint}")


class RunParser(Parser):
    """A parser of a command that opens a finished run, which takes ``--data.KEY VALUE``: where the run's data are now.

    ``options`` of the result has these options by name, {"data.root": "DIR"}. Which of them a run takes is known when
    it is opened. ``options`` also has those of the training's other sections, so that they are refused with a reason.
    """

    def add_places(self) -> None:
        """Adds the group of these options to --help."""
        about = (
            "Where the images are now, if they have moved since the training; likewise other\n"
            "folders, files and splits of the run's config.yaml, such as --data.root_a,\n"
            "--data.table or --data.mask. All other options come from the checkpoint."
        )
        add = self.add_argument_group("places of the run's data set", about).add_argument
        add(
            "--data.root", metavar="DIR", default=argparse.SUPPRESS, help="folder of the image set (default: the run's)"
        )
        add(
            "--data.val_split",
            metavar="NAME",
            default=argparse.SUPPRESS,
            help="name of the split to use for validation (default: the run's, which is val or test if it is not set)",
        )

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        words, options = _take_options(sys.argv[1:] if args is None else args)
        parsed = super().parse_args(words, namespace)
        parsed.options = options
        return parsed


def _take_options(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """(All other words, values by name) of the options of a training's sections: {"data.root": "DIR"}."""
    others: list[str] = []
    options: dict[str, str] = {}
    remaining = iter(words)
    for word in remaining:
        option, equals, value = word.partition("=")
        match = OF_TRAINING.fullmatch(re.sub("^--data[-_]", "--data.", option))
        if match is None:
            others.append(word)
            continue
        if not equals:
            value = next(remaining, "")
            value = "" if value.startswith("--") else value
        if not value:
            raise ValueError(f"{option}: its value is missing")
        options[f"{match[1]}.{match[2].replace('-', '_')}"] = value
    return others, options


def value_text(value: Any) -> str:
    """A value as the command line has it: strings as they are, all else as JSON, which is YAML."""
    return str(value) if isinstance(value, (str, os.PathLike)) else json.dumps(value, default=str)


def with_underscores(words: Sequence[str]) -> list[str]:
    """The words, in which names of options have ``_`` for ``-``: "--data.batch-size=2" -> "--data.batch_size=2"."""
    return [_underscored(word) if word.startswith("--") else word for word in words]


def refuse_wrong_dashes(words: Sequence[str]) -> None:
    """Raises ValueError for a word that begins with a dash that isn't ``-``, or with one that should be two."""
    for word in words:
        name = word.lstrip(DASHES + "-")
        if word[:1] in DASHES and word:
            raise ValueError(f"{word}: begins with a dash of a web page ({word[0]}); type --{name}")
        if re.match(r"-[A-Za-z]\w", word) and word != "-inf":
            raise ValueError(f"{word}: begins with one dash; type --{name}")


def nearest(key: str, known: Collection[str]) -> list[str]:
    """Known keys that a wrong one may mean, the best first: those with the same last part, else similar ones.

    The last part of "train.lr" is "lr"; keys may begin with "--".
    """
    last = _last_part(key)
    same = [name for name in sorted(known) if _last_part(name) == last]
    if same:
        return same
    similar = difflib.get_close_matches(key, sorted(known), 1, 0.75)
    similar += [name for part in _similar_parts(last, known) for name in sorted(known) if _last_part(name) == part]
    similar += difflib.get_close_matches(key, sorted(known), 1, 0.6)
    return list(dict.fromkeys(similar))


def _similar_parts(last: str, known: Collection[str]) -> list[str]:
    return difflib.get_close_matches(last, {_last_part(name): None for name in sorted(known)}, 1, 0.75)


def _last_part(key: str) -> str:
    return key.lstrip("-").rpartition(".")[2].replace("-", "_")


def _underscored(word: str) -> str:
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _plain(word: str) -> str:
    """An option's name, in which ``-``, ``_`` and ``.`` are the same: --data-root is --data.root."""
    return re.sub(r"[_.]", "-", word)


def _in_our_style(word: str, known: dict[str, str]) -> str:
    """The word with the option's own name, if it is a known option in another style."""
    name, equals, value = word.partition("=")
    return f"{known[_plain(name)]}{equals}{value}" if word.startswith("--") and _plain(name) in known else word
