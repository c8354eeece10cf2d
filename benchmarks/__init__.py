"""What unnoise claims in numbers is measured by scripts that anyone can run: python -m benchmarks.NAME."""
