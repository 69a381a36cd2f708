"""Makes a run of official weights: python tools/import_weights.py FILE.pth [--name NAME] [--help]."""

from pathlib import Path

from img2img.errors import Parser, one_line_errors


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("file", type=Path, help="a generator; latest_net_G.pth takes D and E that lie beside it along")
    parser.add_argument("--name", help="of the run (default: that of the file, or of its folder)")
    parser.add_argument("--config", type=Path, help="preset of data and losses, such as configs/pix2pix/facades.yaml")
    parser.add_argument("--direction", choices=["AtoB", "BtoA"], help="of a lone generator (default: the preset's)")
    parser.add_argument("--model", choices=["pix2pix", "cyclegan", "pix2pixhd"], help="of a lone generator")
    parser.add_argument("--overwrite", action="store_true", help="delete the run of this name, if there is one")
    args = parser.parse_args()
    from img2img.interop.runs import import_run

    run, lines = import_run(args.file, args.name, args.config, args.direction, args.model, overwrite=args.overwrite)
    print("\n".join([f"run         {run}", *lines]))
    print(f"translate   python tools/infer.py {run.name} --input FILE|DIR")
    print(
        f"fine-tune   tools/train.py --config {run}/config.yaml --train.init_from {run.name} --name NEW --data.root DIR"
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
