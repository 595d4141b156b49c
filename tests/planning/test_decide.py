"""Which plan holds; the whole of it is tried in tests/workflows/test_plan.py."""

from autoseg.planning.decide import signed
from tests.test_plan import PLAN


def test_a_plan_of_an_older_version_does_not_look_edited():
    # Signed by the version before ranges were noted, whose plans have no field for them.
    assert signed(PLAN).digest == "b7d2c156333ddb57"
