"""The data doctor: problems in a set of pictures, and the cost of training on them, before training starts.

`copies` finds exact and near copies, `file_findings` problems that the headers show, `balance` uneven classes;
`speed`, `disk` and `forecast` say what a run takes on this machine. `examine` does all of it.
"""

from unnoise.reports.doctor.balance import Balance
from unnoise.reports.doctor.checkup import Checkup, blank_pictures, brief_findings, examine
from unnoise.reports.doctor.copies import Copies, find_copies
from unnoise.reports.doctor.disk import disk_use
from unnoise.reports.doctor.findings import Finding
from unnoise.reports.doctor.forecast import Forecast, forecast_run, usable_images
from unnoise.reports.doctor.sheet import checkup_sheet
from unnoise.reports.doctor.speed import TRAINING_SHARE, Speed, measure_speed, time_steps

__all__ = [
    "TRAINING_SHARE",
    "Balance",
    "Checkup",
    "Copies",
    "Finding",
    "Forecast",
    "Speed",
    "blank_pictures",
    "brief_findings",
    "checkup_sheet",
    "disk_use",
    "examine",
    "find_copies",
    "forecast_run",
    "measure_speed",
    "time_steps",
    "usable_images",
]
