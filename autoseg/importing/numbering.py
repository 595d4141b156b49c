"""Numbers that a project gives to its structures, not in the order of the files' names.

Those of TotalSegmentator: 104 structures in its first data, 117 in its second.
"""

from __future__ import annotations

from collections.abc import Collection

from autoseg.case_files import some
from autoseg.errors import UsageError

OFFICIAL = "official"  # as --classes asks for them

SPINE = " ".join(
    f"vertebrae_{part}{number}"
    for part, count in (("L", 5), ("T", 12), ("C", 7))
    for number in range(count, 0, -1)
)
RIBS = " ".join(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13))
GLUTEI = " ".join(
    f"gluteus_{part}_{side}"
    for part in ("maximus", "medius", "minimus")
    for side in ("left", "right")
)
BACK = "autochthon_left autochthon_right iliopsoas_left iliopsoas_right"
ABDOMEN = "spleen kidney_right kidney_left gallbladder liver stomach"
LUNGS = (
    "lung_upper_lobe_left lung_lower_lobe_left "
    "lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right"
)
ADRENALS = "adrenal_gland_right adrenal_gland_left"
ILIAC = "iliac_artery_left iliac_artery_right iliac_vena_left iliac_vena_right"
ARMS = "humerus_left humerus_right scapula_left scapula_right clavicula_left clavicula_right"
LEGS = "femur_left femur_right hip_left hip_right"

FIRST = f"""
{ABDOMEN} aorta inferior_vena_cava portal_vein_and_splenic_vein pancreas {ADRENALS} {LUNGS} {SPINE}
esophagus trachea heart_myocardium heart_atrium_left heart_ventricle_left heart_atrium_right
heart_ventricle_right pulmonary_artery brain {ILIAC} small_bowel duodenum colon {RIBS} {ARMS} {LEGS}
sacrum face {GLUTEI} {BACK} urinary_bladder
"""
SECOND = f"""
{ABDOMEN} pancreas {ADRENALS} {LUNGS} esophagus trachea thyroid_gland small_bowel duodenum colon
urinary_bladder prostate kidney_cyst_left kidney_cyst_right sacrum vertebrae_S1 {SPINE} heart aorta
pulmonary_vein brachiocephalic_trunk subclavian_artery_right subclavian_artery_left
common_carotid_artery_right common_carotid_artery_left brachiocephalic_vein_left
brachiocephalic_vein_right atrial_appendage_left superior_vena_cava inferior_vena_cava
portal_vein_and_splenic_vein {ILIAC} {ARMS} {LEGS} spinal_cord {GLUTEI} {BACK} brain skull {RIBS}
sternum costal_cartilages
"""


def official_values(found: Collection[str]) -> dict[str, int]:
    """Return the official number of each structure that was found, in their order.

    Of the two numberings the newer one that knows them all. Raises UsageError when neither does.
    """
    orders = [order.split() for order in (SECOND, FIRST)]
    for order in orders:
        if {*found} <= {*order}:
            return {name: value for value, name in enumerate(order, 1) if name in found}
    unknown = min((sorted({*found} - {*order}) for order in orders), key=len)
    fact = f"--classes {OFFICIAL}: TotalSegmentator has no number for {some(unknown)}"
    raise UsageError(fact, remedy="list the classes: --classes FILE")
