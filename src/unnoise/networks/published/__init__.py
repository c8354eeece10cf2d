"""Published networks, weight for weight: the annotated studies of DDPM, and diffusers' `UNet2DModel`."""
