"""Speedrun: seconds from nothing to pictures of a fixed quality; docs/speedrun.md has the rules."""
