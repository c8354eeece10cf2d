"""A browser for the tests of exported pages."""

from helpers.browser import chromium, tab, web_runtime

__all__ = ["chromium", "tab", "web_runtime"]
