"""An unfinished validation on disk: finished cases are kept, and it replaces the former one whole.

run/fold_0/validation.part/  begun.json           what is validated, and how
                             result/              what becomes validation/ when all is done
                             cases/<case>.json    scores of a finished case; written last
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.errors import AutosegError
from autoseg.evaluation.tables import case_json, read_case
from autoseg.files import read_json, write_json
from autoseg.inference.scores import KeptScores
from autoseg.records import from_json, to_json
from autoseg.results import CaseScores

log = logging.getLogger(__name__)

RESULT, CASES, BEGUN = "result", "cases", "begun.json"


@dataclass(frozen=True)
class Begun:
    """What a validation is about; with another `identity` it begins anew."""

    identity: str  # hash of the weights, and of what they are validated on
    speed: str  # of `PredictConfig`: a continued validation goes on with it


@dataclass(frozen=True)
class DoneCase:
    """What is known of a finished case."""

    scores: CaseScores
    kept: KeptScores | None  # None: no scores are kept for ensembles


@dataclass
class Part:
    """The folder of an unfinished validation, and what it holds."""

    folder: Path
    done: dict[str, DoneCase] = field(default_factory=dict)

    @property
    def result(self) -> Path:
        """Where label maps and scores go."""
        return self.folder / RESULT

    @property
    def kept(self) -> dict[str, KeptScores] | None:
        """The scores kept so far; None when keeping was given up."""
        if any(case.kept is None for case in self.done.values()):
            return None
        return {name: case.kept for name, case in self.done.items() if case.kept is not None}

    def add(self, case: DoneCase) -> None:
        """Note that a case is finished, its files included."""
        self.done[case.scores.case] = case
        record = {"scores": case_json(case.scores), "kept": to_json(case.kept)}
        write_json(self.folder / CASES / f"{case.scores.case}.json", record, durable=False)

    def replace(self, output: Path) -> None:
        """Let the finished result take the place of `output`."""
        if output.exists():
            output.rename(self.folder / "former")
        self.result.rename(output)
        shutil.rmtree(self.folder, ignore_errors=True)


def folder_of(output: Path) -> Path:
    """Return where the unfinished validation lies that will become `output`."""
    return output.with_name(f"{output.name}.part")


def begun_speed(output: Path, identity: str) -> str | None:
    """Return the speed of the unfinished validation of that identity, if there is one."""
    begun = _read_begun(folder_of(output))
    return begun.speed if begun is not None and begun.identity == identity else None


def open_part(output: Path, begun: Begun) -> Part:
    """Return the unfinished validation that is there, or a new one where that is about else."""
    folder = folder_of(output)
    if _read_begun(folder) == begun:
        return Part(folder, _read_cases(folder / CASES))
    shutil.rmtree(folder, ignore_errors=True)
    (folder / RESULT).mkdir(parents=True)
    write_json(folder / BEGUN, begun)
    return Part(folder)


def _read_begun(folder: Path) -> Begun | None:
    with contextlib.suppress(AutosegError):
        return from_json(Begun, read_json(folder / BEGUN))
    return None


def _read_cases(folder: Path) -> dict[str, DoneCase]:
    done: dict[str, DoneCase] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            record = read_json(path)
            kept = record["kept"] and from_json(KeptScores, record["kept"], str(path))
            done[path.stem] = DoneCase(read_case(record["scores"]), kept)
        except (AutosegError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is predicted again, as its scores are damaged: %s", path.stem, error)
    return done
