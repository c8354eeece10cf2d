"""Any height and width: the border is repeated up to what a network can halve, and cropped off again."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unnoise.diffusion.tensors import Images


def pad(images: Images, multiple: int) -> Float[Tensor, "batch channels padded_height padded_width"]:
    """(B, C, H, W) -> the same with H and W rounded up to multiples; new rows and columns repeat the last."""
    height, width = images.shape[-2:]
    padding = (0, -width % multiple, 0, -height % multiple)
    return functional.pad(images, padding, mode="replicate") if any(padding) else images


def crop(
    images: Float[Tensor, "batch channels padded_height padded_width"], height: int, width: int
) -> Float[Tensor, "batch channels {height} {width}"]:
    """Takes off what `pad` put on: (B, C, at least H, at least W) -> (B, C, H, W)."""
    return images[..., :height, :width]
