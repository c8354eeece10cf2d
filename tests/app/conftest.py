"""A browser for the pages of the app."""

from helpers.browser import chromium, tab

__all__ = ["chromium", "tab"]
