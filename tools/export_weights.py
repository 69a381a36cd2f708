"""Export a run as weight files (.pth, StarGAN's .ckpt) that the official code loads, one file per network.

Examples:
    python tools/export_weights.py facades
    python tools/export_weights.py streets --output checkpoints/streets
    python tools/export_weights.py photos_x4                          # net_g_400000.pth, for Real-ESRGAN's script
    python tools/export_weights.py faces --output stargan/models      # 200000-G.ckpt and 200000-D.ckpt
"""

from pathlib import Path

from img2img.errors import Parser, one_line_errors


def main() -> None:
    parser = Parser(__doc__)
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
    args = parser.parse_args()
    from img2img.interop.export import export_run, how_to_load

    files = export_run(args.run, args.format, args.output, args.checkpoint, overwrite=args.overwrite)
    print("\n".join([*map(str, files), *how_to_load(args.run, files)]))


if __name__ == "__main__":
    with one_line_errors():
        main()
