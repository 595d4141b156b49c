"""What a training says while it runs: one line an epoch, `history.csv`, `log.txt`.

None of it can stop a training.
"""

from __future__ import annotations

import contextlib
import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoseg.errors import AutosegError
from autoseg.files import write_text
from autoseg.progress import say_duration

log = logging.getLogger(__name__)

NAMED = 12  # targets whose Dice stands in the line of an epoch; of more, the lowest ones
LOWEST = 3
WAITING_WORTH_SAYING = 0.1  # share of the time; below that nothing would be gained


@dataclass(frozen=True)
class Epoch:
    """One row of the history."""

    epoch: int  # from 1
    step: int  # steps done
    train_loss: float | None  # mean over its steps; None: all of them were skipped
    validation_loss: float | None  # on the fixed validation patches; None without validation cases
    pseudo_dice: Mapping[str, float | None]  # per target, over those patches; None: no such voxel
    learning_rate: float
    seconds: float  # of this epoch
    skipped: int = 0  # steps left out because a gradient was not finite
    waited_s: float = 0.0  # of the seconds, for batches: see `feed.py`
    # Per target, over the training patches of its steps; not in histories of older versions.
    train_dice: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def waiting(self) -> float:
        """Share of the epoch's time in which its steps waited for data."""
        return self.waited_s / self.seconds if self.seconds > 0 else 0.0


def epoch_line(epoch: Epoch, steps: int, seconds_left: float | None) -> str:
    """Return the line of one epoch.

    `epoch 3, step 750/4,000: loss 0.4120, validation 0.3980, Dice anterior 0.861 posterior 0.842,
    rate 0.0027, 18 min 20 s left`
    """
    parts = [f"loss {_number(epoch.train_loss, '.4f')}"]
    if epoch.validation_loss is not None:
        parts.append(f"validation {epoch.validation_loss:.4f}")
    if epoch.pseudo_dice:
        parts.append(f"Dice {_describe_dice(epoch.pseudo_dice)}")
    parts.append(f"rate {epoch.learning_rate:.2g}")
    if epoch.skipped:
        parts.append(f"{epoch.skipped} steps skipped (gradient not finite)")
    if epoch.waiting > WAITING_WORTH_SAYING:
        parts.append(f"{100 * epoch.waiting:.0f} % of the time waiting for data")
    parts += _left(seconds_left)
    return f"epoch {epoch.epoch}, step {epoch.step:,}/{steps:,}: {', '.join(parts)}"


def _describe_dice(dice: Mapping[str, float | None]) -> str:
    """Return the Dice of each target; of many, their mean and the lowest ones."""
    if len(dice) <= NAMED:
        return " ".join(f"{name} {_number(value, '.3f')}" for name, value in dice.items())
    known = sorted((value, name) for name, value in dice.items() if value is not None)
    if not known:
        return f"- of {len(dice)} targets"
    mean = sum(value for value, _ in known) / len(known)
    lowest = " ".join(f"{name} {value:.3f}" for value, name in known[:LOWEST])
    return f"{mean:.3f} (mean of {len(known)} targets, lowest {lowest})"


def advise_waiting(history: Sequence[Epoch]) -> None:
    """Say, after the first epoch that waited long for data, what can be done about it."""
    much = [epoch.waiting > WAITING_WORTH_SAYING for epoch in history]
    if much[-1] and not any(much[:-1]):
        log.warning(
            "training waits for data -> prepared/ on a faster disk or small enough to stay in "
            "memory, fewer other programs on this machine, or --set augmentation=light"
        )


def share_waiting(history: Sequence[Epoch]) -> float:
    """Return the share of the time of all epochs in which steps waited for data."""
    seconds = sum(epoch.seconds for epoch in history)
    return sum(epoch.waited_s for epoch in history) / seconds if seconds > 0 else 0.0


def progress_line(
    epoch: int, step: int, steps: int, train_loss: float | None, seconds_left: float | None
) -> str:
    """Return the line between two epochs: `epoch 1, step 37/4,000: loss 0.9120, 3 h 4 min left`."""
    said = ", ".join([f"loss {_number(train_loss, '.4f')}", *_left(seconds_left)])
    return f"epoch {epoch}, step {step:,}/{steps:,}: {said}"


def live_lines(epoch: int, step: int, steps: int, seconds_left: float | None) -> tuple[str, ...]:
    """Return the live line at length and in brief: `epoch 1, step 37/4,000, 3 h 4 min left`."""
    brief = [f"step {step:,}/{steps:,}", *_left(seconds_left)]
    return ", ".join([f"epoch {epoch}", *brief]), ", ".join(brief), brief[-1]


def _left(seconds: float | None) -> list[str]:
    return [] if seconds is None else [f"{say_duration(seconds)} left"]


def history_rows(history: Sequence[Epoch]) -> list[dict[str, Any]]:
    """Return the history as flat rows, one column per number.

    `dice_<target>` is of validation patches, `train_dice_<target>` of training patches.
    """
    rows = []
    for epoch in history:
        row = {
            "epoch": epoch.epoch,
            "step": epoch.step,
            "train_loss": epoch.train_loss,
            "validation_loss": epoch.validation_loss,
            "learning_rate": epoch.learning_rate,
            "seconds": round(epoch.seconds, 3),
            "skipped": epoch.skipped,
            "waiting": round(epoch.waiting, 4),
        }
        row |= {f"dice_{name}": value for name, value in epoch.pseudo_dice.items()}
        rows.append(row | {f"train_dice_{name}": dice for name, dice in epoch.train_dice.items()})
    return rows


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write `history.csv`: one line per epoch, empty where there is no value."""
    rows = history_rows(history)
    if not rows:
        return
    text = io.StringIO()
    # All rows' columns: an older version may have begun the training.
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: _number(v, ".6g", "") if isinstance(v, float) else v for k, v in row.items()}
        for row in rows
    )
    try:
        write_text(path, text.getvalue(), durable=False)
    except AutosegError as error:
        log.warning("history not written: %s", error)


def _number(value: float | None, form: str, missing: str = "-") -> str:
    return missing if value is None else format(value, form)


@contextlib.contextmanager
def log_file(path: Path, alone: bool = False) -> Iterator[None]:
    """Append everything autoseg logs, from INFO on, to `path` while the block runs.

    With `alone` nobody else hears it.
    """
    logger = logging.getLogger("autoseg")
    handler = _QuietFileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.setLevel(logging.INFO)
    level = logger.level
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    others, propagate = logger.handlers, logger.propagate
    logger.handlers = [handler] if alone else [*others, handler]
    logger.propagate = propagate and not alone
    try:
        yield
    finally:
        logger.handlers, logger.propagate = others, propagate
        logger.setLevel(level)
        with contextlib.suppress(OSError):
            handler.close()


class _QuietFileHandler(logging.FileHandler):
    """A full disk costs one warning, not the training."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.failed:
            self.failed = True
            logging.getLogger(__name__).warning("%s cannot be written", self.baseFilename)
