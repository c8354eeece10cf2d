"""The data doctor: what is wrong with pictures, and what training on them will take, before a step is spent.

`copies` finds what is there twice, `file_findings` what the headers tell, `balance` whether classes are even,
`speed`, `disk` and `forecast` what a run takes here; `examine` asks all of them.
"""

from unnoise.doctor.balance import Balance
from unnoise.doctor.checkup import Checkup, blank, examine, in_brief
from unnoise.doctor.copies import Copies, find_copies
from unnoise.doctor.disk import Disk, disk
from unnoise.doctor.findings import Finding
from unnoise.doctor.forecast import Forecast, forecast, usable_images
from unnoise.doctor.sheet import checkup_sheet
from unnoise.doctor.speed import TRAINING_SHARE, Speed, measure_speed, timed

__all__ = [
    "TRAINING_SHARE",
    "Balance",
    "Checkup",
    "Copies",
    "Disk",
    "Finding",
    "Forecast",
    "Speed",
    "blank",
    "checkup_sheet",
    "disk",
    "examine",
    "find_copies",
    "forecast",
    "in_brief",
    "measure_speed",
    "timed",
    "usable_images",
]
