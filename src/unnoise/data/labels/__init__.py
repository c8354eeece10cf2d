"""Class labels: from folders, label files and CSV tables."""
