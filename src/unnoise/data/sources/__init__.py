"""Sources of pictures: folders, zip files, arrays of numbers, and data sets known by name."""
