"""A page that draws with a run in the browser."""
