"""Translate images with a trained run, or draw images from noise.

Examples:
    img2img infer facades                                      # translate the run's validation set
    img2img infer facades --data.root /new/facades             # the same, after the set was moved
    img2img infer facades --input photos/ --output out/        # a file, or a folder of files, of any size
    img2img infer psnr_x4 --input a.jpg --blend gan_x4 0.8     # mix the weights of two runs
    img2img infer streets --style random --samples 5           # pix2pixHD: five random styles each
    img2img infer dcgan-toy --count 64                         # draw from noise (dcgan, infogan)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from img2img.arguments import Parser
from img2img.inference.arguments import TARGET, finds_moved_data, infer_parser, parse_infer_arguments


def parser() -> Parser:
    """The options."""
    return infer_parser(__doc__)


def main(argv: Sequence[str] | None = None) -> int:
    """Translates or draws images; returns 2 if one of several images can't be read."""
    args = parse_infer_arguments(__doc__, argv)
    return draw(args) if args.draws else translate(args)


def translate(args: argparse.Namespace) -> int:
    """Translates images with a run that translates."""
    from img2img.inference.files import Request, translate_files
    from img2img.inference.loading import load_translator

    dropout = args.samples > 0 and args.style is None
    translator = load_translator(
        args.run,
        checkpoint=args.checkpoint,
        device=args.device,
        norm_policy=args.norm_policy,
        dropout=dropout,
        training_size=args.training_size,
        direction=args.direction,
        blend=args.blend,
        outscale=args.outscale,
        data=args.data,
    )
    target = {name: getattr(args, name) for name in TARGET}
    outscale = None if args.outscale is None else f"{args.outscale:g}"
    choices = {
        "style": args.style,
        "relabel": args.relabel,
        "blend": _name(args.blend),
        "outscale": outscale,
        "val_split": args.data and args.data.get("val_split"),
    }
    output = args.output or translator.results(**choices, **target)
    names = ("samples", "seed", "cycle", "others", "style", "relabel")
    request = Request(args.input, output, target=target, **{name: getattr(args, name) for name in names})
    with finds_moved_data(args.run, or_input=True):
        unreadable = translate_files(translator, request)
    what = "".join(f", {key} {value}" for key, value in target.items() if value is not None)
    what = what or f", {translator.title}"
    print(f"run         {translator.run}{what}\nimages      {output}\ngrids       {output / 'grids'}")
    return 2 if unreadable else 0


def draw(args: argparse.Namespace) -> int:
    """Draws images with a run that draws from noise."""
    from img2img.inference.loading import load_sampler
    from img2img.inference.sampler import write_samples

    sampler = load_sampler(args.run, checkpoint=args.checkpoint, device=args.device, blend=args.blend)
    output = args.output or sampler.results(args.seed, args.label, _name(args.blend))
    names = ("count", "seed", "label", "interpolate", "traverse")
    write_samples(sampler, output, **{name: getattr(args, name) for name in names})
    print(f"run         {sampler.run}\nimages      {output}\ngrids       {output / 'grids'}")
    return 0


def _name(blend: tuple[str, float] | None) -> str | None:
    """The name of --blend in an output folder: "esrgan,0.8"."""
    return blend and f"{Path(blend[0]).name},{blend[1]:g}"
