"""A page tells all about one run, or holds several side by side: one file that needs nothing but itself."""

from unnoise.reports.comparison import Measure, compare, draw, measures, names_of
from unnoise.reports.folders import Folder
from unnoise.reports.page import Page, render, save_page
from unnoise.reports.report import report

__all__ = [
    "Folder",
    "Measure",
    "Page",
    "compare",
    "draw",
    "measures",
    "names_of",
    "render",
    "report",
    "save_page",
]
