"""The data doctor: what is wrong with pictures, and what training on them will take, before a step is spent.

`copies` finds what is there twice, `file_findings` what the headers tell, `balance` whether classes are even,
`speed`, `disk` and `forecast` what a run takes here; `examine` asks all of them.
"""

from unnoise.reports.doctor.balance import Balance
from unnoise.reports.doctor.checkup import Checkup, blank, examine, in_brief
from unnoise.reports.doctor.copies import Copies, find_copies
from unnoise.reports.doctor.disk import Disk, disk
from unnoise.reports.doctor.findings import Finding
from unnoise.reports.doctor.forecast import Forecast, forecast, usable_images
from unnoise.reports.doctor.sheet import checkup_sheet
from unnoise.reports.doctor.speed import TRAINING_SHARE, Speed, measure_speed, timed

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
