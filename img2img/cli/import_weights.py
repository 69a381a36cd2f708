"""Import official weights (.pth, .ckpt) as a run, for infer, evaluate, fine-tuning and export.

Reads files of junyanz/pytorch-CycleGAN-and-pix2pix, NVIDIA/pix2pixHD, yunjey/stargan, BasicSR, ESRGAN and Real-ESRGAN.
The architecture is found from the names and shapes of the weights.

Examples:
    img2img import checkpoints/facades/latest_net_G.pth --config pix2pix/facades
    img2img import horse2zebra.pth --model cyclegan --direction AtoB
    img2img import 200000-G.ckpt --name faces --domains Black_Hair Blond_Hair Brown_Hair Male Young
    img2img import RealESRGAN_x4plus.pth
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from img2img.arguments import Parser
from img2img.presets import find_config


def main(argv: Sequence[str] | None = None) -> int:
    """Imports weights as a run, and prints what to do with it."""
    args = parser().parse_args(argv)
    from img2img.interop.options import UserOptions
    from img2img.interop.runs import import_run, next_steps

    run, lines = import_run(
        args.file,
        args.name,
        preset=find_config(args.config, model=args.model) if args.config else None,
        direction=args.direction,
        model=args.model,
        user_options=UserOptions(**{each.name: getattr(args, each.name) for each in fields(UserOptions)}),
        only=args.only,
        overwrite=args.overwrite,
    )
    print("\n".join([f"run         {run}", *lines, *next_steps(run)]))
    return 0


def parser() -> Parser:
    """The options."""
    parser = Parser("import", __doc__)
    add = parser.add_argument
    add(
        "file",
        type=Path,
        help="weights of a generator; with an official name such as latest_net_G.pth, 200000-G.ckpt "
        "or net_g_9.pth, the run's other files beside it (D, E, or G_A, G_B, D_A, D_B) are imported, too",
    )
    add("--name", help="name of the new run (default: the file's name; of an official name, its folder's)")
    add("--config", metavar="FILE|PRESET", help="preset with data and loss options, e.g. "
        "pix2pix/facades; options that the weights determine replace the preset's")  # fmt: skip
    add("--only", metavar="ROLES", help="import only these files, by role: G, or G,E (default: all)")
    add("--overwrite", action="store_true", help="replace an existing run of this name")
    add("--data.root", dest="root", metavar="DIR", type=Path, help="the run's data set, for evaluate, infer and "
        "fine-tuning")  # fmt: skip

    add = parser.add_argument_group("a generator without other files beside it").add_argument
    add("--model", choices=["pix2pix", "cyclegan", "pix2pixhd"], help="default: pix2pix for a U-Net, cyclegan for a "
        "ResNet that downsamples twice, otherwise pix2pixhd")  # fmt: skip
    add("--direction", choices=["AtoB", "BtoA"], help="which way it translates (default: the preset's, else AtoB)")

    add = parser.add_argument_group("pix2pixhd only").add_argument
    add("--label-nc", metavar="N", type=int, help="number of input classes; 0: the input is an image (default: "
        "guessed from the number of input channels, and printed)")  # fmt: skip
    add("--no-instances", action="store_true", help="the input has no channel of instance boundaries (trained with "
        "the official --no_instance)")  # fmt: skip

    add = parser.add_argument_group("stargan only").add_argument
    add("--domains", metavar="NAME", nargs="+", help="names of the domains, in the order of the labels of its training "
        "(default: those of --config, else c1, c2, ...)")  # fmt: skip
    add("--exclusive", action="store_true", help="the domains exclude each other, as RaFD's expressions (default: as "
        "--config says, else attributes, as CelebA's are; the weights don't show it)")  # fmt: skip
    add("--joint-domains", metavar="NAME", nargs="+", help="names of the second of two sets learned jointly")

    add = parser.add_argument_group("cyclegan only, instead of --data.root").add_argument
    add("--data.root_a", dest="root_a", metavar="DIR", type=Path, help="folder of images of domain A")
    add("--data.root_b", dest="root_b", metavar="DIR", type=Path, help="folder of images of domain B")
    return parser
