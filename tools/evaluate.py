"""Measures a run, or a folder of pictures: python tools/evaluate.py NAME|DIR [--metrics fid,kid,...] [--help]."""

import argparse
import json
from dataclasses import asdict

from img2img.errors import one_line_errors
from img2img.evaluation.arguments import parse_evaluate_arguments


def main() -> None:
    args = parse_evaluate_arguments(__doc__)
    if args.metrics is None:
        measure_pixels(args)
    else:
        measure(args)


def measure(args: argparse.Namespace) -> None:
    from img2img.evaluation.quality import load_judges, needs_pairs, parse_metrics
    from img2img.evaluation.recognition import load_recognition
    from img2img.evaluation.report import report
    from img2img.evaluation.subjects import subjects

    metrics = parse_metrics(args.metrics)
    judges = load_judges(metrics, args.features, args.weights, args.lpips_weights, args.device)
    maps = None
    if args.fcn:
        where = (args.labels, args.palette, args.classes, args.paired)
        maps, judges.segmenter = load_recognition(args.run, args.recogniser, *where, judges.device)
    more = (args.checkpoint, args.device, args.norm_policy, args.paired, args.count, args.seed)
    found = subjects(args.run, args.reference, needs_pairs(metrics), *more, args.style, maps)
    for subject in found:
        output = args.output / (subject.output.name if found[1:] else "") if args.output else subject.output
        report(subject, metrics, judges, output, args.batch_size)


def measure_pixels(args: argparse.Namespace) -> None:
    from img2img.evaluation.pixels import pixel_scores
    from img2img.inference.translator import load_translator
    from img2img.runs import write_text

    translator = load_translator(args.run, args.checkpoint, args.device, args.norm_policy)
    print(translator.checkpoint)
    found = {}
    for direction in translator.directions:
        chosen = translator if direction == translator.direction else translator.reversed()
        scores = pixel_scores(chosen, args.paired)
        found[direction] = {name: asdict(score) for name, score in scores.items()}
        print(f"\n| {direction} | L1 (of 255) | PSNR, dB | SSIM |\n| --- | --- | --- | --- |")
        for name, score in scores.items():
            print(f"| {name} | {score.l1:.2f} | {score.psnr:.2f} | {score.ssim:.4f} |")
    write_text(translator.run / "pixels.json", json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
