"""Export a run as weight files (.pth) that the official code loads, one file per network.

Examples:
    python tools/export_weights.py facades --format junyanz
    python tools/export_weights.py streets --format pix2pixhd --output checkpoints/streets
"""

from pathlib import Path

from img2img.errors import Parser, one_line_errors


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("run", help="name of a run under runs/, or path of its folder")
    parser.add_argument(
        "--format",
        choices=["junyanz", "pix2pixhd"],
        required=True,
        help="junyanz: pytorch-CycleGAN-and-pix2pix (runs of pix2pix and cyclegan); "
        "pix2pixhd: NVIDIA/pix2pixHD (runs of pix2pixhd)",
    )
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder to write to (default: RUN/export)")
    parser.add_argument(
        "--checkpoint", metavar="STEP", default="latest", help="a step, best or latest (default: latest)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that already exist")
    args = parser.parse_args()
    from img2img.interop.export import export_run

    for file in export_run(args.run, args.format, args.output, args.checkpoint, overwrite=args.overwrite):
        print(file)


if __name__ == "__main__":
    with one_line_errors():
        main()
