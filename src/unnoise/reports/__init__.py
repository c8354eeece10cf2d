"""HTML reports: one page about a run, or one page that compares several runs."""

from unnoise.reports.comparison import ComparisonRow, compare, comparison_rows, names_of, sample_seeds
from unnoise.reports.page import Page, render, save_page
from unnoise.reports.report import report
from unnoise.reports.run_folder import RunFolder

__all__ = [
    "ComparisonRow",
    "Page",
    "RunFolder",
    "compare",
    "comparison_rows",
    "names_of",
    "render",
    "report",
    "sample_seeds",
    "save_page",
]
