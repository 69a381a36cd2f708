"""Writes a run as official weights: python tools/export_weights.py NAME --format junyanz|pix2pixhd [--help]."""

from pathlib import Path

from img2img.errors import Parser, one_line_errors


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("run", help="name of a run under runs/, or its folder")
    parser.add_argument("--format", choices=["junyanz", "pix2pixhd"], required=True, help="whose code is to load them")
    parser.add_argument("--output", type=Path, help="folder to write to (default: RUN/export)")
    parser.add_argument("--checkpoint", default="latest", help="a step, or latest (default)")
    parser.add_argument("--overwrite", action="store_true", help="replace files of these names, if there are any")
    args = parser.parse_args()
    from img2img.interop.export import export_run

    for file in export_run(args.run, args.format, args.output, args.checkpoint, overwrite=args.overwrite):
        print(file)


if __name__ == "__main__":
    with one_line_errors():
        main()
