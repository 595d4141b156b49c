"""What is known about the data (`Fingerprint`) and what was decided from it (`Plan`).

Both are plain records; `plan_file.py` reads and writes a plan. A plan is complete: nothing after
planning reads `dataset.json`. It does not depend on the machine: all sizes are planned, training
picks one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoseg.case_files import PICTURES
from autoseg.errors import UsageError, suggest
from autoseg.image import CANONICAL
from autoseg.labels import Labels
from autoseg.presets import Preset, preset_names
from autoseg.records import OPTIONAL
from autoseg.usual import Usual

PRESET = "preset"  # the one size of a configuration that a preset made
SLIPS = 0.1  # of the cases: so many may differ from what all others show
COARSE_NAMES = ("3d_lowres", "3d_cascade_fullres")  # not planned where a patch sees enough
ASK_FOR_COARSE = "autoseg_plan --set 3d_lowres.spacing=Z,Y,X (mm) plans it all the same"
ANISOTROPY = 3.0  # an axis this many times coarser than the others is treated apart (nnU-Net)

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class IntensityStats:
    """Foreground intensities of one channel over the whole data set, in the image's own units."""

    mean: float
    std: float
    p0_5: float
    p99_5: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class ChannelUnits:
    """What the histograms of one channel's whole scans tell about their units."""

    lowest: float  # median over the cases
    highest: float
    cases: int
    hounsfield: int  # cases whose histogram is that of a CT
    contradicting: int  # cases that cannot be in Hounsfield units
    spread: float  # how many times more one case's values spread than another's, at most

    @property
    def is_hounsfield(self) -> bool:
        """True when most cases look like a CT, and hardly any like something else."""
        return self.hounsfield > self.cases / 2 and not self.is_contradicted

    @property
    def is_contradicted(self) -> bool:
        """True when too many cases cannot be in Hounsfield units for these to be slips."""
        return self.contradicting > self.cases * SLIPS


@dataclass(frozen=True)
class Fingerprint:
    """All the planner may know of the data; one entry per case, canonical orientation (Z, Y, X)."""

    cases: tuple[str, ...]
    spacings: tuple[tuple[float, float, float], ...]  # mm
    shapes: tuple[Triple, ...]  # voxels, after cropping to the non-zero box
    kept_fraction: float  # median over cases of voxels after / before cropping
    channels: tuple[str, ...]
    intensities: tuple[IntensityStats, ...]  # one per channel, foreground voxels
    target_volumes_ml: Mapping[str, tuple[float, ...]]  # per target, one entry per case
    warnings: tuple[str, ...] = ()
    units: tuple[ChannelUnits, ...] = ()  # one per channel; empty: not looked at
    usual: Usual | None = None


@dataclass(frozen=True)
class NetworkSpec:
    """A network as numbers, finest stage first; `strides[s]` is applied on entering stage s.

    U-Nets are all numbers. Other networks bring any size to what they need and have one stage here,
    with the features of their finest one; the rest are their `options`.
    """

    name: str  # a built-in one (`networks.NETWORKS`), or "package.module:function"
    features: tuple[int, ...]
    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]
    encoder_blocks: tuple[int, ...]  # plain: convolutions per stage; residual: blocks per stage
    decoder_blocks: tuple[int, ...]  # convolutions per decoder stage, finest first, one entry fewer
    options: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata=OPTIONAL)


@dataclass(frozen=True)
class Design:
    """What a size decides."""

    patch_size: Triple  # voxels (Z, Y, X) in plan axis order; (1, Y, X) means 2-D
    batch_size: int
    network: NetworkSpec

    @property
    def is_2d(self) -> bool:
        """True when the patch is one slice."""
        return self.patch_size[0] == 1

    @property
    def dummy_2d(self) -> bool:
        """True when a 3-D patch is so flat that augmentation must not mix slices."""
        return not self.is_2d and max(self.patch_size) / self.patch_size[0] > ANISOTROPY

    @property
    def rotation_degrees(self) -> tuple[float, float, float]:
        """Largest rotation about the axes (Z, Y, X), as in nnU-Net; about Z: in the plane Y, X."""
        if self.is_2d:
            longest, shortest = max(self.patch_size[1:]), min(self.patch_size[1:])
            return (15.0 if longest / shortest > 1.5 else 180.0, 0.0, 0.0)
        if self.dummy_2d:
            return (180.0, 0.0, 0.0)
        return (30.0, 30.0, 30.0)


@dataclass(frozen=True)
class Configuration:
    """One row of the plan: "2d", "3d_lowres", "3d_fullres", "3d_cascade_fullres", or a preset."""

    name: str
    spacing: tuple[float | None, float, float]  # mm, plan axis order; None: each scan keeps its own
    median_shape: Triple  # voxels of the median case at that spacing
    normalizers: tuple[str, ...]  # one per channel
    mask_normalization: tuple[bool, ...]  # one per channel: statistics inside non-zero mask only
    batch_dice: bool
    sizes: Mapping[str, Design]
    previous: str | None = None  # its prediction is an extra input (cascade)
    preset: str = field(default="", metadata=OPTIONAL)  # that this configuration was made by
    recipe: Preset | None = field(default=None, metadata=OPTIONAL)  # that preset, one of one's own
    # Settings that its trainings begin with.
    train: Mapping[str, Any] = field(default_factory=dict, metadata=OPTIONAL)

    @property
    def is_2d(self) -> bool:
        """True when slices are the samples."""
        return self.spacing[0] is None

    def design(self, size: str) -> Design:
        """Return the design of `size`; raise UsageError when it was not planned."""
        if size not in self.sizes:
            raise UsageError(
                f"size '{size}' is not planned for {self.name}", remedy=suggest(size, self.sizes)
            )
        return self.sizes[size]


@dataclass(frozen=True)
class Plan:
    """Everything needed to train and to predict."""

    dataset: str
    channels: tuple[str, ...]
    labels: Labels
    axis_order: Triple  # canonical axes (0 = Z, 1 = Y, 2 = X) in the order of prepared arrays
    intensities: tuple[IntensityStats, ...]
    configurations: Mapping[str, Configuration]
    reasons: tuple[str, ...]  # one sentence per decision
    file_ending: str = ".nii.gz"
    version: str = ""  # of autoseg
    overrides: tuple[str, ...] = field(default=())  # what the user set by hand
    orientation: str = CANONICAL  # how scans are turned; other ones come from other programs
    digest: str = ""  # of the plan as the rules made it: where it differs, the file was edited
    units: tuple[ChannelUnits, ...] = ()  # one per channel; empty in plans of older versions
    usual: Usual | None = None  # what new scans are compared with; None in those, and in imported

    @property
    def left_right_axis(self) -> int | None:
        """Axis (0, 1, 2) of prepared arrays along which mirroring exchanges left and right.

        None where scans are not turned to canonical orientation: such models come from a program
        that mirrors without exchanging.
        """
        return self.axis_order.index(2) if self.orientation == CANONICAL else None

    @property
    def reversed_axes(self) -> tuple[int, ...]:
        """Axes (0, 1, 2) of prepared arrays that run against RAS.

        RAS is what nnU-Net can turn scans to. Where a margin or a tile cannot lie symmetrically,
        it is counted from the far end of these axes, so that nnU-Net sees what we see, mirrored.
        Pictures have no orientation, and scans of other programs' models are turned as there.
        """
        if self.orientation != CANONICAL or self.file_ending in PICTURES:
            return ()
        return tuple(axis for axis, source in enumerate(self.axis_order) if source in (1, 2))

    def configuration(self, name: str) -> Configuration:
        """Return a configuration by name; raise UsageError naming the planned ones."""
        if name not in self.configurations:
            remedy = suggest(name, self.configurations)
            if name in COARSE_NAMES and "3d_fullres" in self.configurations:
                remedy = ASK_FOR_COARSE
            if name in preset_names():
                remedy = f"autoseg_plan -d {self.dataset} --preset {name}"
            fact = f"configuration '{name}' is not planned for {self.dataset}"
            raise UsageError(fact, remedy=remedy)
        return self.configurations[name]

    def input_channels(self, name: str) -> int:
        """Number of channels that networks of a configuration see.

        After a previous stage: those of the image and a mask for each target it predicted.
        """
        masks = len(self.labels.targets) if self.configuration(name).previous is not None else 0
        return len(self.channels) + masks
