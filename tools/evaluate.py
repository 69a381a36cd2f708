"""Measures a run, or a folder of pictures: python tools/evaluate.py NAME|DIR [--metrics fid,kid,...] [--help]."""

import argparse

from img2img.errors import one_line_errors
from img2img.evaluation.arguments import parse_evaluate_arguments


def main() -> None:
    args = parse_evaluate_arguments(__doc__)
    if args.metrics is None:
        measure_pixels(args)
    else:
        measure(args)


def measure(args: argparse.Namespace) -> None:
    from img2img.evaluation.fcn.score import load_maps, load_recogniser
    from img2img.evaluation.image_sets import subjects
    from img2img.evaluation.metrics import load_judges, needs_pairs, parse_metrics
    from img2img.evaluation.report import prepare, report

    metrics = parse_metrics(args.metrics)
    where = (args.labels, args.palette, args.classes, args.paired, args.recogniser is not None)
    maps = load_maps(args.run, *where) if args.fcn else None
    more = (args.checkpoint, args.device, args.norm_policy, args.paired, args.count, args.seed, args.style, maps)
    found = subjects(args.run, args.reference, needs_pairs(metrics), *more)
    folders = [args.output / (each.output.name if found[1:] else "") if args.output else each.output for each in found]
    for subject, folder in zip(found, folders, strict=True):
        prepare(subject, metrics, folder)
    judges = load_judges(metrics, args.features, args.weights, args.lpips_weights, args.device)
    if maps:  # what may take long comes last
        judges.segmenter = load_recogniser(args.run, maps, found, args.recogniser, args.classes, judges.device)
    for subject, folder in zip(found, folders, strict=True):
        report(subject, metrics, judges, folder, args.batch_size)


def measure_pixels(args: argparse.Namespace) -> None:
    from img2img.evaluation.report import report_pixels
    from img2img.inference.loading import load_translator

    report_pixels(load_translator(args.run, args.checkpoint, args.device, args.norm_policy), args.paired)


if __name__ == "__main__":
    with one_line_errors():
        main()
