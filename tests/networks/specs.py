"""What the tests of single networks begin with: a planned U-Net of slices, and one of volumes."""

from autoseg.plan import Design, NetworkSpec

FLAT = Design(
    (1, 40, 56),
    2,
    NetworkSpec(
        "plain_unet",
        (8, 16, 32),
        ((1, 1, 1), (1, 2, 2), (1, 2, 2)),
        ((1, 3, 3),) * 3,
        (2, 2, 2),
        (2, 2),
    ),
)
DEEP = Design(
    (20, 24, 16),
    2,
    NetworkSpec(
        "plain_unet",
        (8, 16, 32),
        ((1, 1, 1), (2, 2, 2), (2, 2, 2)),
        ((3, 3, 3),) * 3,
        (2, 2, 2),
        (2, 2),
    ),
)
