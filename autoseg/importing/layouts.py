"""How data sets are laid out that many people download: patterns with what they leave unsaid.

A new layout is a new entry of LAYOUTS; nothing else knows their names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.errors import UsageError, suggest
from autoseg.importing.patterns import MARK, find_matches


@dataclass(frozen=True)
class Layout:
    """Where files lie, as patterns below `root`, and what they mean.

    Channels, classes, label map and so on are spelled as in the options of `autoseg import`.
    """

    images: str = ""
    labels: str = ""
    controls: str = ""  # images in which nothing is to be found
    tests: tuple[str, ...] = ()  # images to predict, beside those without labels
    channels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()  # (): what stands for {class}
    label_map: tuple[str, ...] = ()
    prefix: str = ""  # of the names of cases and tests, not of controls
    tags: tuple[str, ...] = ()  # of every case with labels
    records: str = ""  # a JSON or CSV file with one record per case: its `meta`
    record_key: str = ""  # the field with the name of the case
    record_spacing: tuple[str, ...] = ()  # the fields with the lengths of a voxel, in any order
    spacings: str = ""  # a file with the voxel sizes that slices were cut with
    original: tuple[int, int] = (0, 0)  # their (y, x) pixels then; (0, 0): as many as now
    repaired: str = ""  # a label file that may lie beside, and be the better one
    one_channel: bool = False  # pictures are stored with one channel, or refused
    declared: bool = False  # no patterns: the folder's own dataset.json says it all
    root: Path | None = None  # None: where the user stands


SEGTHOR = Layout(
    images="{case}/{case}.nii.gz",
    labels="{case}/GT.nii.gz",
    channels=("CT",),
    classes=("oesophagus", "heart", "trachea", "aorta"),
    repaired="GT_fixed.nii.gz",
)
SEGTHOR_TESTS = ("test/{case}.nii.gz", "test/{case}/{case}.nii.gz")
PKU = "bladder colon femur_head kidney liver rectum small_intestine spinal_cord stomach"

# Several layouts under one name are tried in this order.
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "segthor": (
        replace(
            SEGTHOR,
            images="train/{case}/{case}.nii.gz",
            labels="train/{case}/GT.nii.gz",
            tests=(*SEGTHOR_TESTS, *(f"../segthor_test/{test}" for test in SEGTHOR_TESTS)),
        ),
        replace(SEGTHOR, tests=SEGTHOR_TESTS),
        replace(  # cut into slices, values 63 apart
            SEGTHOR,
            images="*/img/{case}_{slice}.png",
            labels="*/gt/{case}_{slice}.png",
            label_map=("63:1", "126:2", "189:3", "252:4"),
            spacings="spacing.pkl",
            original=(512, 512),
        ),
    ),
    "kits19": (
        Layout(
            images="{case}/imaging.nii.gz",
            labels="{case}/segmentation.nii.gz",
            channels=("CT",),
            classes=("kidney=1,2", "tumour=2"),
            records="kits.json",
            record_key="case_id",
            record_spacing=(
                "captured_slice_thickness",
                "captured_pixel_width",
                "captured_pixel_width",
            ),
        ),
    ),
    "totalsegmentator": (
        Layout(
            images="{case}/ct.nii.gz",
            labels="{case}/segmentations/{class}.nii.gz",
            channels=("CT",),
            records="meta.csv",
            record_key="image_id",
        ),
    ),
    "pku": (
        Layout(
            images="ct/{case}.nii.gz",
            labels="label/{case}.nii.gz",
            channels=("CT",),
            classes=tuple(PKU.split()),
            label_map=("4:3", "5:4", "6:4", "7:5", "8:6", "9:7", "10:8", "11:9"),  # sides together
        ),
    ),
    "abdomenct1k": (
        Layout(
            images="*Image*/{case}_0000.nii.gz",
            labels="*Mask*/{case}.nii.gz",
            channels=("CT",),
            classes=("liver", "kidney", "spleen", "pancreas"),
        ),
    ),
    "mip-pet": tuple(
        Layout(
            images=f"{root}patients/imgs/patient_{{case}}.png",
            labels=f"{root}patients/labels/segmentation_{{case}}.png",
            controls=f"{root}controls/imgs/{{case}}.png",
            channels=("PET",),
            classes=("tumour",),
            label_map=("255:1",),
            prefix="patient_",
            tags=("patient",),
            one_channel=True,
        )
        for root in ("", "raw/tumor-segmentation/")
    ),
    "msd": (Layout(declared=True),),
    "nnunet": (Layout(declared=True),),
}


def choose_layout(name: str, root: Path | None, typed: Layout, label_file: str = "") -> Layout:
    """Return the layout `name` as it lies in `root`, or without a name the `typed` patterns.

    `label_file` is the name of the label files where the layout has another. Raises UsageError
    when both are given, or half of one.
    """
    patterns = [typed.images, typed.labels, typed.controls, *typed.tests]
    if not name and label_file:
        raise UsageError("a label file's name without a layout", remedy="write it in --labels")
    if not name:
        return typed
    if any(patterns):
        fact = f"layout {name} with the pattern {next(filter(None, patterns))}"
        raise UsageError(fact, expected="patterns, or a layout that has its own")
    if root is None:
        raise UsageError(f"layout {name}", expected="the folder of the data, --src DIR")
    layout = find_layout(name, root)
    return with_label_file(layout, label_file) if label_file else layout


def with_label_file(layout: Layout, name: str) -> Layout:
    """Return the layout with label files of another name."""
    if layout.declared or MARK.search(Path(layout.labels).name) or "/" in name:
        expected = "the name of a file in the folder of each case, where the layout has one"
        raise UsageError(f"--gt {name}", expected=expected)
    return replace(layout, labels=str(Path(layout.labels).with_name(name)))


def find_layout(name: str, root: Path) -> Layout:
    """Return the layout `name` as it is found in the folder `root`, without what is not there.

    Raises UsageError for an unknown name, a folder that is none, and one where no image fits.
    """
    if name not in LAYOUTS:
        raise UsageError(f"unknown layout '{name}'", remedy=suggest(name, LAYOUTS))
    if not root.is_dir():
        fact = "is no folder" if root.exists() else "not found"
        raise UsageError(fact, place=str(root), expected=f"the folder with the data of {name}")
    for variant in LAYOUTS[name]:
        layout = replace(variant, root=root)
        if layout.declared:
            if (root / "dataset.json").is_file():
                return layout
        elif _is_there(layout.images, root):
            return _without_what_is_missing(layout, root)
    looked_for = [variant.images or "dataset.json" for variant in LAYOUTS[name]]
    there = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    raise UsageError(
        f"does not look like {name}",
        place=str(root),
        expected=" or ".join(looked_for),
        remedy=f"it holds {', '.join(there[:5]) or 'nothing'}{', ...' * (len(there) > 5)}",
    )


def _without_what_is_missing(layout: Layout, root: Path) -> Layout:
    """Return the layout without controls, tests and tables that this copy of the data has not."""
    return replace(
        layout,
        controls=layout.controls if _is_there(layout.controls, root) else "",
        tests=tuple(test for test in layout.tests if _is_there(test, root)),
        records=layout.records if (root / layout.records).is_file() else "",
        spacings=_table_there(layout.spacings, root),
    )


def _table_there(name: str, root: Path) -> str:
    """Return the table of voxel sizes that is there, as it is named or as JSON; else ""."""
    names = (name, str(Path(name).with_suffix(".json"))) if name else ()
    return next((known for known in names if (root / known).is_file()), "")


def _is_there(pattern: str, root: Path) -> bool:
    try:
        return bool(pattern) and bool(find_matches(pattern, below=root))
    except UsageError:
        return False
