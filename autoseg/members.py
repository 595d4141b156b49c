"""Names of the members of a model: a fold, and the seed where a fold was trained several times.

"0", "1", ... and "full" are trained with the first seed, "0-seed1" and "full-seed1" with a further
one.
"""

from __future__ import annotations

import re

FULL = "full"  # the fold that is trained on all cases
_NAME = re.compile(r"(\d+|full)(?:-seed(\d+))?")


def member_name(fold: str, seed: int | None) -> str:
    """Return the name of `fold` trained with a further `seed`; None: with the first one.

    >>> member_name("0", None), member_name("0", 2)
    ('0', '0-seed2')
    """
    return fold if seed is None else f"{fold}-seed{seed}"


def split_member(name: str) -> tuple[str, int | None]:
    """Return the fold of a member, and its seed if it is a further one.

    >>> split_member("3"), split_member("full-seed2")
    (('3', None), ('full', 2))
    """
    match = _NAME.fullmatch(name)
    if match is None or match[2] is None:
        return name, None
    return match[1], int(match[2])


def is_member(name: str) -> bool:
    """Tell whether a member may have this name; a run that was moved aside is none."""
    return _NAME.fullmatch(name) is not None


def is_full(name: str) -> bool:
    """Tell whether a member is trained on all cases, so that nothing is left to validate it on."""
    return split_member(name)[0] == FULL
