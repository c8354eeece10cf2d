"""Published networks with their exact weights: the annotated studies of DDPM, and diffusers' `UNet2DModel`."""
