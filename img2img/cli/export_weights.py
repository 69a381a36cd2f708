"""Export a run as weight files (.pth, StarGAN's .ckpt) that the official code loads, one file per network.

Examples:
    img2img export facades
    img2img export streets --output checkpoints/streets
    img2img export faces --output stargan/models      # 200000-G.ckpt and 200000-D.ckpt
    img2img export photos_x4                          # net_g_400000.pth, for Real-ESRGAN's script
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser


def parser() -> Parser:
    """The options."""
    parser = Parser("export", __doc__)
    parser.add_argument("run", help="name of a run under runs/, or path of its folder")
    parser.add_argument(
        "--format",
        choices=["junyanz", "pix2pixhd", "stargan", "basicsr"],
        help="junyanz: pytorch-CycleGAN-and-pix2pix (runs of pix2pix and cyclegan); pix2pixhd: NVIDIA/pix2pixHD; "
        "stargan: yunjey/stargan; basicsr: XPixelGroup/BasicSR and Real-ESRGAN (srgan) (default: that of the "
        "run's model)",
    )
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder to write to (default: RUN/export)")
    parser.add_argument(
        "--checkpoint", metavar="STEP", default="latest", help="a step, best or latest (default: latest)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that already exist")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the weights of a run as official files, and prints how to load them."""
    args = parser().parse_args(argv)
    from img2img.interop.export import export_run, how_to_load

    files = export_run(args.run, args.format, args.output, args.checkpoint, overwrite=args.overwrite)
    print("\n".join([*map(str, files), *how_to_load(args.run, files)]))
    return 0
