"""Whatever bytes a file holds, reading it ends in what was asked for or in one sentence: targets for fuzzers.

make fuzz                                 each target for a minute, by atheris (libFuzzer)
python -m fuzz decode --seconds 600       one of them for longer, with PYTHONPATH=src:tests
"""
