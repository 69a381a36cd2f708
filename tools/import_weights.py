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
    parser.add_argument("--label-nc", type=int, metavar="N", help="of pix2pixHD: classes of its input; 0: images")
    parser.add_argument("--no-instances", action="store_true", help="of pix2pixHD: it sees no boundaries of instances")
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="the set that evaluate.py and trainings then take"
    )
    parser.add_argument("--data-root-a", type=Path, metavar="DIR", help="of CycleGAN: a folder of A's images instead")
    parser.add_argument("--data-root-b", type=Path, metavar="DIR", help="and one of B's")
    parser.add_argument("--only", metavar="ROLES", help="of the files beside each other take these alone: G, or G,E")
    parser.add_argument("--overwrite", action="store_true", help="replace the run of this name, if there is one")
    args = parser.parse_args()
    from img2img.interop.options import Stated
    from img2img.interop.runs import import_run, next_steps

    run, lines = import_run(
        args.file,
        args.name,
        preset=args.config,
        direction=args.direction,
        model=args.model,
        stated=Stated(
            label_nc=args.label_nc,
            no_instances=args.no_instances,
            root=args.data_root,
            root_a=args.data_root_a,
            root_b=args.data_root_b,
        ),
        only=args.only,
        overwrite=args.overwrite,
    )
    print("\n".join([f"run         {run}", *lines, *next_steps(run)]))


if __name__ == "__main__":
    with one_line_errors():
        main()
