"""What was tried: changes of where the search began, lengths of the average, and samplers."""

from unnoise.diffusion.samplers.sampling import Sampling

START = ("noise_levels.mean=-0.5", "optimizer.learning_rate=4e-3", "batch_size=64")
"""Changes of `nano` that make it what it was when the search began; it drew by 60 steps of DDIM, eta 1."""

AVERAGES = (4.0, 8.0, 16.0)
"""About the last 1 / 4, 1 / 8 or 1 / 16 of the run."""

SAMPLINGS = {
    "ddim-60-1": Sampling(num_steps=60, eta=1.0),
    "ddim-60-0": Sampling(num_steps=60),
    "ddim-60-0.5": Sampling(num_steps=60, eta=0.5),
    "ddim-120-1": Sampling(num_steps=120, eta=1.0),
    "2m-20": Sampling(sampler="dpmpp_2m", num_steps=20, spacing="log_snr"),
    "2m-20-karras": Sampling(sampler="dpmpp_2m", num_steps=20, spacing="karras"),
    "2m-sde-40": Sampling(sampler="dpmpp_2m_sde", num_steps=40, spacing="log_snr"),
    "2m-sde-20": Sampling(sampler="dpmpp_2m_sde", num_steps=20, spacing="log_snr"),
    "2m-sde-30": Sampling(sampler="dpmpp_2m_sde", num_steps=30, spacing="log_snr"),
    "2m-sde-60": Sampling(sampler="dpmpp_2m_sde", num_steps=60, spacing="log_snr"),
    "2m-sde-30-karras": Sampling(sampler="dpmpp_2m_sde", num_steps=30, spacing="karras"),
    "2m-sde-40-uniform": Sampling(sampler="dpmpp_2m_sde", num_steps=40),
    "3m-sde-40": Sampling(sampler="dpmpp_3m_sde", num_steps=40, spacing="log_snr"),
    "2m-sde-60-karras": Sampling(sampler="dpmpp_2m_sde", num_steps=60, spacing="karras"),
    "heun-40": Sampling(sampler="heun", num_steps=40, spacing="karras"),
}

TOGETHER = (
    "network.widths=[32,64]",
    "batch_size=128",
    "noise_levels.mean=0.3",
    "optimizer.learning_rate=6e-3",
)
"""What the first round found better than the start."""

RECIPES: dict[str, tuple[str, ...]] = {
    "start": (),
    # Optimiser and rate.
    "rate-2e-3": ("optimizer.learning_rate=2e-3",),
    "rate-6e-3": ("optimizer.learning_rate=6e-3",),
    "rate-8e-3": ("optimizer.learning_rate=8e-3",),
    "rate-12e-3": ("optimizer.learning_rate=12e-3",),
    "adamw-2e-3": ("optimizer.name=adamw", "optimizer.learning_rate=2e-3"),
    "adamw-3e-3": ("optimizer.name=adamw", "optimizer.learning_rate=3e-3"),
    "adamw-5e-3": ("optimizer.name=adamw", "optimizer.learning_rate=5e-3"),
    "cosine": ("optimizer.decay=cosine",),
    "constant": ("optimizer.decay=constant",),
    "decay-0": ("optimizer.weight_decay=0.0",),
    "decay-0.1": ("optimizer.weight_decay=0.1",),
    "unclipped": ("optimizer.max_gradient_norm=null",),
    "warmup-0": ("optimizer.warmup=0.0",),
    "betas-0.95": ("optimizer.betas=[0.9,0.95]",),
    "betas-0.999": ("optimizer.betas=[0.9,0.999]",),
    # Batch.
    "batch-16": ("batch_size=16",),
    "batch-32": ("batch_size=32",),
    "batch-32-rate-3e-3": ("batch_size=32", "optimizer.learning_rate=3e-3"),
    "batch-96": ("batch_size=96",),
    "batch-128": ("batch_size=128",),
    "batch-128-rate-6e-3": ("batch_size=128", "optimizer.learning_rate=6e-3"),
    "batch-256-rate-8e-3": ("batch_size=256", "optimizer.learning_rate=8e-3"),
    # Noise levels.
    "levels-0-1.2": ("noise_levels.mean=0.0",),
    "levels-0.5-1.2": ("noise_levels.mean=0.5",),
    "levels--1-1.2": ("noise_levels.mean=-1.0",),
    "levels--0.5-1": ("noise_levels.std=1.0",),
    "levels--0.5-1.5": ("noise_levels.std=1.5",),
    "levels-0-1.5": ("noise_levels.mean=0.0", "noise_levels.std=1.5"),
    "levels-0-1": ("noise_levels.mean=0.0", "noise_levels.std=1.0"),
    "levels-unstratified": ("noise_levels.stratified=false",),
    # Loss.
    "l1": ("objective.loss=l1",),
    "huber": ("objective.loss=huber",),
    "compares-image": ("objective.compares=image",),
    "compares-noise": ("objective.compares=noise",),
    # Width, depth, levels.
    "24": ("network.widths=[24,48]",),
    "32": ("network.widths=[32,64]",),
    "40": ("network.widths=[40,80]",),
    "64": ("network.widths=[64,128]",),
    "80": ("network.widths=[80,160]",),
    "32-96": ("network.widths=[32,96]",),
    "32-128": ("network.widths=[32,128]",),
    "48-144": ("network.widths=[48,144]",),
    "48-192": ("network.widths=[48,192]",),
    "64-64": ("network.widths=[64,64]",),
    "48-96-144": ("network.widths=[48,96,144]", 'network.attention=["none","none","full"]'),
    "32-64-128": ("network.widths=[32,64,128]", 'network.attention=["none","none","full"]'),
    "48-96-144-attention-2": ("network.widths=[48,96,144]", 'network.attention=["none","full","full"]'),
    "one-level": ("network.widths=[64]", 'network.attention=["none"]'),
    "depth-1": ("network.block_depth=1",),
    "depth-1-64": ("network.block_depth=1", "network.widths=[64,128]"),
    "depth-1-96": ("network.block_depth=1", "network.widths=[96,192]"),
    "depth-3": ("network.block_depth=3",),
    "depth-3-32": ("network.block_depth=3", "network.widths=[32,64]"),
    "depth-4-32": ("network.block_depth=4", "network.widths=[32,64]"),
    # Attention.
    "no-attention": ('network.attention=["none","none"]',),
    "attention-everywhere": ('network.attention=["full","full"]',),
    "linear-attention": ('network.attention=["linear","full"]',),
    "heads-1": ("network.attention_heads=1",),
    "heads-8": ("network.attention_heads=8",),
    # Patches.
    "patch-1": (
        "network.patch_size=1",
        "network.widths=[24,48,96]",
        'network.attention=["none","none","full"]',
    ),
    "patch-1-16": (
        "network.patch_size=1",
        "network.widths=[16,32,64]",
        'network.attention=["none","none","full"]',
    ),
    "patch-4-64": ("network.patch_size=4", "network.widths=[64,128]"),
    "patch-4-96": ("network.patch_size=4", "network.widths=[96,192]"),
    "patch-4-128": ("network.patch_size=4", "network.widths=[128,128]"),
    # Blocks.
    "resnet": ("network.block=resnet",),
    "convnext": ("network.block=convnext",),
    "book": ("network.block=book",),
    "add": ("network.modulation=add",),
    "bilinear": ("network.upsampling=bilinear",),
    "embedding-96": ("network.embedding_dim=96",),
    "frequency-1000": ("network.max_frequency=1000.0",),
    "frequency-20": ("network.max_frequency=20.0",),
    "dropout-0.05": ("network.dropout=0.05",),
    # Data and conditions.
    "flip": ("flip",),
    "self-conditioning": ("network.self_conditioning=true",),
    "symmetric": ("normalization=symmetric",),
    # What helped, together: larger batches, noisier levels, higher rates.
    **{
        f"{width}-{batch}-{mean:g}-{std:g}-{rate:g}": (
            f"network.widths=[{width},{2 * width}]",
            f"batch_size={batch}",
            f"noise_levels.mean={mean}",
            f"noise_levels.std={std}",
            f"optimizer.learning_rate={rate}",
        )
        for width, batch, mean, std, rate in (
            (48, 128, 0.3, 1.2, 6e-3),
            (48, 128, 0.3, 1.2, 8e-3),
            (48, 128, 0.5, 1.2, 6e-3),
            (48, 128, 0.5, 1.4, 6e-3),
            (48, 128, 0.8, 1.4, 6e-3),
            (48, 192, 0.3, 1.2, 8e-3),
            (48, 256, 0.3, 1.2, 8e-3),
            (40, 128, 0.3, 1.2, 6e-3),
            (32, 128, 0.3, 1.2, 6e-3),
            (32, 128, 0.5, 1.2, 6e-3),
            (32, 128, 0.3, 1.2, 1e-2),
            (32, 192, 0.3, 1.2, 8e-3),
            (32, 256, 0.3, 1.2, 1e-2),
            (24, 128, 0.3, 1.2, 8e-3),
            (24, 64, 0.3, 1.2, 6e-3),
            (32, 64, 0.3, 1.2, 6e-3),
            (48, 64, 0.3, 1.2, 6e-3),
            (64, 128, 0.3, 1.2, 6e-3),
        )
    },
    **{
        f"together-{name}": (*TOGETHER, *changes)
        for name, changes in {
            "no-attention": ('network.attention=["none","none"]',),
            "add": ("network.modulation=add",),
            "book": ("network.block=book",),
            "resnet": ("network.block=resnet",),
            "bilinear": ("network.upsampling=bilinear",),
            "embedding-96": ("network.embedding_dim=96",),
            "symmetric": ("normalization=symmetric",),
            "constant": ("optimizer.decay=constant",),
            "cosine": ("optimizer.decay=cosine",),
            "unclipped": ("optimizer.max_gradient_norm=null",),
            "decay-0": ("optimizer.weight_decay=0.0",),
            "decay-0.1": ("optimizer.weight_decay=0.1",),
            "betas-0.95": ("optimizer.betas=[0.9,0.95]",),
            "adamw-3e-3": ("optimizer.name=adamw", "optimizer.learning_rate=3e-3"),
            "huber": ("objective.loss=huber",),
            "dropout-0.05": ("network.dropout=0.05",),
            "depth-3": ("network.block_depth=3",),
            "32-96": ("network.widths=[32,96]",),
            "32-128": ("network.widths=[32,128]",),
            "64-64": ("network.widths=[64,64]",),
            "patch-4": ("network.patch_size=4", "network.widths=[64,128]"),
            "offset-noise-0.05": ("offset_noise=0.05",),
        }.items()
    },
}
"""The changes of each, beside those of `START`."""
