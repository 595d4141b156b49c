"""What the stages leave behind for each other and for the report: scores, summaries, choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Status of one metric value (metrics table A.4): why a value is null, or that it is good.
OK, BOTH_EMPTY, REF_EMPTY, PRED_EMPTY = "ok", "both_empty", "ref_empty", "pred_empty"
MISSING_PRED, UNDEFINED, SKIPPED = "missing_pred", "undefined", "skipped"
IN_WORDS = {
    OK: "scored", BOTH_EMPTY: "empty in both", REF_EMPTY: "falsely found", PRED_EMPTY: "missed",
    MISSING_PRED: "without a prediction", UNDEFINED: "undefined", SKIPPED: "not annotated",
}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """One metric of one target in one case; `value` is None where the metric is not defined."""

    value: float | None
    status: str = OK


@dataclass(frozen=True)
class CaseScores:
    """All metrics of one case: `metrics[target][metric]`."""

    case: str
    metrics: Mapping[str, Mapping[str, Value]]
    spacing: tuple[float, float, float]  # mm, of the reference file (Z, Y, X)
    diagonal_mm: float  # of the reference image: what a missed distance counts as, penalised
    reference_file: str = ""
    prediction_file: str = ""
    tags: tuple[str, ...] = ()
    dim: int = 3  # 2: a flat image, its surfaces are lines
    group: str | None = None  # patient; None: the case is a patient of its own


@dataclass(frozen=True)
class Mean:
    """The mean of one metric over cases; never shown without `n`."""

    mean: float | None
    n: int  # values that entered
    of: int  # cases in all
    penalised: float | None  # misses and false alarms counted at their worst
    median: float | None = None
    std: float | None = None
    statuses: Mapping[str, int] = field(default_factory=dict)  # how many values of each status
    ci95: tuple[float, float] | None = None  # of `mean`: bootstrap over patients
    ci95_method: str = ""  # "bca", "percentile", or why there is no interval
    quartiles: tuple[float, float] | None = None
    minimum: float | None = None
    minimum_case: str = ""
    maximum: float | None = None


@dataclass(frozen=True)
class Agreement:
    """How well the volumes of predictions and references agree, over cases where either is."""

    n: int
    bias_ml: float  # mean of prediction minus reference
    bias_ci95: tuple[float, float] | None
    limits_ml: tuple[float, float] | None  # bias -+ 1.96 standard deviations (Bland and Altman)
    icc2: float | None  # ICC(2,1): two-way random effects, absolute agreement, one rater
    icc2_ci95: tuple[float, float] | None
    icc3: float | None  # ICC(3,1): two-way mixed effects, consistency, one rater
    icc3_ci95: tuple[float, float] | None


@dataclass(frozen=True)
class Summary:
    """The evaluation of one folder of predictions."""

    cases: tuple[CaseScores, ...]
    mean: Mapping[str, Mapping[str, Mean]]  # mean[target][metric]
    foreground_mean: Mapping[str, Mean]  # over targets that occur in the reference
    header: Mapping[str, Any]  # version, surface mode, tolerances and their source, policy
    targets_without_reference: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)  # case -> why it could not be scored
    # by_tag[tag][target][metric]; "" holds the cases without a tag; empty when no case has one
    by_tag: Mapping[str, Mapping[str, Mapping[str, Mean]]] = field(default_factory=dict)
    case_mean: Mapping[str, Mean] = field(default_factory=dict)  # over cases: mean of its targets
    agreement: Mapping[str, Agreement] = field(default_factory=dict)  # of volumes, by target


@dataclass(frozen=True)
class RuleTrial:
    """The best rule that was tried at one place: mean Dice of each target before it and after."""

    scope: str  # target, or "*": all of them together
    rule: str
    adopted: bool
    before: Mapping[str, float | None]
    after: Mapping[str, float | None]
    n: Mapping[str, int]  # cases in which the Dice of each target is defined


@dataclass(frozen=True)
class Estimate:
    """Mean foreground Dice of a choice: on the cases it was made on, and on cases left out of it.

    The choice (model or ensemble, and rules) is made again without each part of the cases, and that
    part is scored with what was chosen without it. The difference of both is the optimism.
    """

    apparent: float
    nested: float
    cases: int
    parts: int
    by: str  # what a part is: "fold", or "part of the patients" with one finished fold
    chosen: tuple[str, ...]  # what was chosen without each part


@dataclass(frozen=True)
class Choice:
    """What `best.json` holds: the models to predict with, the rules, and the evidence."""

    models: tuple[str, ...]  # "3d_fullres-M"; of several the probabilities are averaged
    evidence: Mapping[str, float]  # mean foreground Dice of each model and pair
    reasons: tuple[str, ...] = ()
    rules: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # `postprocess.rules_json`
    trials: tuple[RuleTrial, ...] = ()
    estimate: Estimate | None = None


# --- what a dataset is like ----------------------------------------------------------------------


@dataclass(frozen=True)
class Intensities:
    """Intensities of some voxels in one channel, in the units of the files."""

    mean: float
    std: float  # of these voxels, not an estimate for others
    minimum: float
    p10: float
    median: float
    p90: float
    maximum: float
    exact: bool = True  # False: p10, median and p90 come from 4096 quantiles of each case


@dataclass(frozen=True)
class Range:
    """One number over cases."""

    minimum: float
    median: float
    maximum: float
    mean: float


@dataclass(frozen=True)
class TargetInCase:
    """A target that was annotated in a case; without voxels there are no intensities."""

    voxels: int
    volume_ml: float
    slices: int  # axial ones that hold some of it
    intensities: Mapping[str, Intensities]  # by channel


@dataclass(frozen=True)
class CaseStatistics:
    """The size of a scan, its intensities, and its targets."""

    case: str
    shape: tuple[int, int, int]  # voxels (Z, Y, X), as stored
    spacing: tuple[float, float, float]  # mm
    slices: int  # axial
    voxels: int
    intensities: Mapping[str, Intensities]  # of the whole scan, by channel
    targets: Mapping[str, TargetInCase]
    group: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetStatistics:
    """A target over all cases in which it was annotated."""

    annotated: int  # cases
    cases: int  # of these hold it
    voxels: int
    share: float  # of all voxels of the cases in which it was annotated
    slices: int  # axial ones that hold it
    of_slices: int
    volume_ml: Range | None  # over the cases that hold it
    intensities: Mapping[str, Intensities]  # of all its voxels together, by channel


@dataclass(frozen=True)
class DatasetStatistics:
    """What `statistics.json` holds."""

    dataset: str
    channels: tuple[str, ...]
    labels: Mapping[str, tuple[int, ...]]
    cases: tuple[CaseStatistics, ...]
    shape: tuple[Range | None, Range | None, Range | None]  # (Z, Y, X)
    spacing: tuple[Range | None, Range | None, Range | None]
    slices: Range | None
    targets: Mapping[str, TargetStatistics]
