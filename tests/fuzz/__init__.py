"""Fuzz targets: every reader of files reads arbitrary bytes or refuses them with a message.

make fuzz                                 each target for a minute, by atheris (libFuzzer)
python -m fuzz decode --seconds 600       one of them for longer, with PYTHONPATH=src:tests
"""
