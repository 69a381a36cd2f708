"""The toy tasks: images that the package draws itself, so that nothing is downloaded."""

from collections.abc import Mapping, Sequence


def toy_split(names: Sequence[str], lengths: Mapping[str, int]) -> tuple[str, int]:
    """(Name, number of samples) of the first of these splits that a toy task has. Raises ValueError if it has none."""
    for name in names:
        if name in lengths:
            return name, lengths[name]
    raise ValueError(f"data split '{names[0]}': the toy task has no such split; choose one of {', '.join(lengths)}")
