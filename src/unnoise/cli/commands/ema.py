"""`unnoise ema`: choose the length of the weight average (EMA) after training."""

from unnoise import api
from unnoise.api import tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(api.ema, sigma_rel=cli.option("S"), out=cli.option("DIR", "RUN-emaS"))
def ema(run: cli.Run, /, **options: object) -> None:
    """Choose the length of the weight average (EMA) after training, and write it as a new run.

    Our own presets store a few averages while they train, from which any other length is put together. Try
    some, draw the same seeds with each, and keep the best.

      unnoise ema runs/photos --sigma-rel 0.10
      unnoise generate runs/photos-ema0.10
    """
    tell_result("run", api.ema(api.open_run(run), **options).path)  # type: ignore[arg-type]
