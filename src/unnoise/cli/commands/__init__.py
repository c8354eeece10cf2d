"""The commands of `unnoise`, one a file."""
