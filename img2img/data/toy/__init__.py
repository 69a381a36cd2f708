"""The embedded tasks: data that the package draws itself."""

from collections.abc import Mapping, Sequence


def toy_split(names: Sequence[str], lengths: Mapping[str, int]) -> tuple[str, int]:
    """The first of these splits that an embedded task has, and its number of samples. Raises ValueError for none."""
    for name in names:
        if name in lengths:
            return name, lengths[name]
    raise ValueError(f"data split '{names[0]}': the toy task has {', '.join(lengths)}")
