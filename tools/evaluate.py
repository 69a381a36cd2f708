"""Measures a run, or a folder of images: python tools/evaluate.py NAME|DIR [--metrics fid,kid,...] [--help]."""

import argparse

from img2img.errors import one_line_errors
from img2img.evaluation.arguments import parse_evaluate_arguments


def main() -> None:
    args = parse_evaluate_arguments(__doc__)
    measure_pixels(args) if args.metrics is None else measure(args)


def measure(args: argparse.Namespace) -> None:
    from img2img.evaluation.fcn.loading import choose_segmenter, load_class_maps
    from img2img.evaluation.image_sets import RunOptions, open_image_sets
    from img2img.evaluation.metrics import load_networks
    from img2img.evaluation.report import prepare, report
    from img2img.inference.loading import choose_device

    maps = None
    if args.fcn:
        photos = bool(args.segmenter or args.train_segmenter)
        named = {"labels": args.labels, "palette": args.palette, "classes": args.classes}
        maps = load_class_maps(args.run, **named, paired=args.paired, photos=photos)
    pairs = any(metric.needs_target for metric in args.metrics)
    names = ("checkpoint", "device", "norm_policy", "paired", "count", "seed", "style")
    options = RunOptions(**{name: getattr(args, name) for name in names})
    image_sets = open_image_sets(args.run, reference=args.reference, pairs=pairs, maps=maps, options=options)
    several = len(image_sets) > 1
    folders = [
        args.output / (made.output.name if several else "") if args.output else made.output for made in image_sets
    ]
    for image_set, folder in zip(image_sets, folders, strict=True):
        prepare(image_set, args.metrics, folder)
    weights = {"weights": args.weights, "lpips_weights": args.lpips_weights}
    networks = load_networks(args.metrics, features=args.features, **weights, device=choose_device(args.device))
    if maps:  # what may take long comes last
        how = {"segmenter": args.segmenter, "train_steps": args.train_steps, "classes": args.classes}
        networks.segmenter = choose_segmenter(args.run, maps, image_sets, **how, device=networks.device)
    for image_set, folder in zip(image_sets, folders, strict=True):
        report(image_set, args.metrics, networks, folder, batch_size=args.batch_size)


def measure_pixels(args: argparse.Namespace) -> None:
    from img2img.evaluation.report import report_pixels
    from img2img.inference.loading import load_translator

    how = {"checkpoint": args.checkpoint, "device": args.device, "norm_policy": args.norm_policy}
    report_pixels(load_translator(args.run, **how), args.paired)


if __name__ == "__main__":
    with one_line_errors():
        main()
