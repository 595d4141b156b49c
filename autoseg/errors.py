"""Every failure the user can mend, as one small hierarchy; anything else that is raised is our bug.

AutosegError         1   never raised itself
|- UsageError        2   unknown option, dataset, fold or setting; nothing to do
|- DataError         3   images, labels or their headers are not what they should be
|- ResourceError     4   disk, memory, device, permission, missing package
|- PartlyDone        5   some cases failed, all others are finished
|- LockedError       6   another process works on the same folder
|- CorruptError      7   a file of ours is damaged, unsafe or of another version
`- Stopped          75   a signal asked us to stop; state is saved, run the same command again
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Problem:
    """One finding about one place: what is there, what should be, and what to do about it."""

    place: str
    found: str
    expected: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        expected = f", expected {self.expected}" if self.expected else ""
        remedy = f" -> {self.remedy}" if self.remedy else ""
        return f"{self.place}: {self.found}{expected}{remedy}"


class AutosegError(Exception):
    """A failure with a remedy: `fact` at `place`, `expected` instead, and what to do."""

    exit_code = 1

    def __init__(
        self,
        fact: str,
        *,
        place: str = "",
        expected: str = "",
        remedy: str = "",
        problems: Sequence[Problem] = (),
    ) -> None:
        self.fact, self.place, self.expected, self.remedy = fact, place, expected, remedy
        self.problems = tuple(problems)
        super().__init__(fact, place, expected, remedy)

    def as_problem(self, place: str = "") -> Problem:
        """Return this failure as one finding among others, at `place` where it names none."""
        return Problem(self.place or place, self.fact, self.expected, self.remedy)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive pickling by themselves; workers send errors home.
        return _rebuild, (
            type(self),
            self.fact,
            self.place,
            self.expected,
            self.remedy,
            self.problems,
        )

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        expected = f", expected {self.expected}" if self.expected else ""
        remedy = f" -> {self.remedy}" if self.remedy else ""
        lines = [f"{place}{self.fact}{expected}{remedy}"]
        return "\n".join([*(str(problem) for problem in self.problems), *lines])


@contextlib.contextmanager
def spoken_of(place: str, name: str) -> Iterator[None]:
    """Let errors of the block say `name` for `place`: files that are gone when they are read."""
    try:
        yield
    except AutosegError as error:
        error.problems = tuple(
            replace(problem, place=problem.place.replace(place, name),
                    found=problem.found.replace(place, name))
            for problem in error.problems
        )  # fmt: skip
        error.place = error.place.replace(place, name)
        error.fact = error.fact.replace(place, name)
        error.remedy = error.remedy.replace(place, name)
        raise


def _rebuild(
    kind: type[AutosegError], fact: str, place: str, expected: str, remedy: str, problems: tuple
) -> AutosegError:
    return kind(fact, place=place, expected=expected, remedy=remedy, problems=problems)


class UsageError(AutosegError):
    """The command cannot mean anything: unknown name, fold, setting, or nothing to work on."""

    exit_code = 2


class DataError(AutosegError):
    """The user's images, labels or `dataset.json` are not what they should be."""

    exit_code = 3


class ResourceError(AutosegError):
    """The machine refuses: disk, memory, device, permission, or a package that is missing."""

    exit_code = 4


class PartlyDone(AutosegError):
    """Some cases failed; every other one is finished and kept."""

    exit_code = 5


class LockedError(AutosegError):
    """Another process is at work in the same folder."""

    exit_code = 6


class CorruptError(AutosegError):
    """A file that autoseg wrote is damaged, unsafe, or belongs to another version."""

    exit_code = 7


class Stopped(AutosegError):
    """A signal asked for a stop; everything is saved and the same command continues."""

    exit_code = 75


def kind_of(exit_code: int) -> type[AutosegError]:
    """Return the class whose failures end with `exit_code`; AutosegError for our own mistakes."""
    kinds = (UsageError, DataError, ResourceError, PartlyDone, LockedError, CorruptError, Stopped)
    return next((kind for kind in kinds if kind.exit_code == exit_code), AutosegError)


def by_hand(error: AutosegError, remedy: str) -> DataError:
    """Return what is wrong with a file that the user may edit; `remedy` where it names none."""
    return DataError(
        error.fact, place=error.place, expected=error.expected, remedy=error.remedy or remedy
    )


def number_of(count: int, noun: str) -> str:
    """Return a number of things as people say it.

    >>> number_of(1, "case"), number_of(1200, "voxel")
    ('1 case', '1,200 voxels')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the remedy for a misspelled `name`: "did you mean X?" or the list of known names.

    >>> suggest("epohcs", ["epochs", "loss"])
    "did you mean 'epochs'?"
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known names: {', '.join(names)}" if names else "there are none yet"
