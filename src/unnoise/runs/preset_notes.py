"""Notes on the presets: what each is for and where it comes from, to be read without PyTorch."""

from typing import NamedTuple


class PresetNote(NamedTuple):
    """Purpose and source of a preset, for the table of `unnoise presets`."""

    purpose: str
    source: str


PRESET_NOTES = {
    "nano": PresetNote("CPU, minutes", "ours"),
    "small": PresetNote("CPU, hours; laptop GPU, minutes", "ours"),
    "medium": PresetNote("GPU, an hour", "ours"),
    "large": PresetNote("GPUs, hours to days", "ours"),
    "keras-ddim": PresetNote("GPU, 50 epochs", "Keras DDIM example"),
    "clear-ddim": PresetNote("GPU, hours", "clear-diffusion-keras"),
    "annotated-ddpm": PresetNote("5 epochs", "first annotated study"),
    "annotated-resnet": PresetNote("6 epochs", "second annotated study"),
    "ddpm-study": PresetNote("GPU, days", "DDPM study"),
    "diffusers": PresetNote("GPU, hours", "train_unconditional.py"),
    "transformer": PresetNote("comparisons", "ours, after HDiT"),
}
