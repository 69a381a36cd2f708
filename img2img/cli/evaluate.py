"""Measure the images of a trained run, or a folder of images.

Examples:
    img2img evaluate facades                                   # L1, PSNR and SSIM of the validation set
    img2img evaluate facades --data.root /new/facades          # the same, after the set was moved
    img2img evaluate facades --metrics fid,kid,lpips           # writes a report below the run's folder
    img2img evaluate out/ --metrics fid --reference real/      # a folder of images
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from img2img.arguments import Parser
from img2img.evaluation.arguments import evaluate_parser, parse_evaluate_arguments
from img2img.evaluation.options import EvaluateOptions
from img2img.inference.arguments import finds_moved_data

if TYPE_CHECKING:
    from img2img.evaluation.base import ImageSet
    from img2img.evaluation.report import ScoreTable


def parser() -> Parser:
    """The options."""
    return evaluate_parser(__doc__)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures images and prints the scores."""
    measure(parse_evaluate_arguments(__doc__, argv))
    return 0


def measure(options: EvaluateOptions) -> ScoreTable:
    """Measures images, prints the scores and writes the reports. Returns the scores by direction, row and name."""
    with finds_moved_data(options.name):
        return measure_pixels(options) if options.metrics is None else measure_metrics(options)


def measure_metrics(options: EvaluateOptions) -> ScoreTable:
    """Computes the metrics of --metrics and writes the reports. Returns the scores by direction, row and name."""
    from img2img.evaluation.fcn.loading import choose_segmenter, load_class_maps
    from img2img.evaluation.image_sets import open_image_sets
    from img2img.evaluation.metrics import load_networks
    from img2img.evaluation.report import prepare, report, report_directions, report_folders
    from img2img.evaluation.train_classifier import choose_classifier
    from img2img.inference.loading import choose_device

    run, metric, fcn, metrics = options.of_run, options.of_metrics, options.of_fcn, options.metrics or ()
    domain = options.of_classifier
    maps = None
    if options.needs_class_maps:
        maps = load_class_maps(
            options.name,
            labels=fcn.labels,
            palette=fcn.palette,
            classes=fcn.classes,
            paired=run.paired,
            photos=fcn.photos,
            data=run.data,
        )
    image_sets = open_image_sets(
        options.name,
        reference=metric.reference,
        pairs=options.needs_target,
        maps=maps,
        device=options.device,
        options=run,
    )
    for image_set in image_sets:
        image_set.set_shave(options.shave)
    folders = report_folders(image_sets, metric.output)
    for image_set, folder in zip(image_sets, folders, strict=True):
        prepare(image_set, metrics, folder)
    networks = load_networks(
        metrics,
        features=metric.features,
        weights=metric.weights,
        lpips_weights=metric.lpips_weights,
        options=("--weights", "--lpips-weights"),
        device=choose_device(options.device),
    )
    if maps:  # last, since training a segmenter takes long
        networks.segmenter = choose_segmenter(
            options.name,
            maps,
            image_sets,
            segmenter=fcn.segmenter,
            train_steps=fcn.train_steps,
            classes=fcn.classes,
            device=networks.device,
        )
    if options.needs_classifier:
        networks.classifier = choose_classifier(
            options.name,
            train=domain.train_classifier,
            steps=domain.classifier_steps,
            classifier=domain.classifier,
            data=run.data,
            device=networks.device,
        )
    scores = {}
    for image_set, folder in zip(image_sets, folders, strict=True):
        scores[folder] = report(image_set, metrics, networks, folder, batch_size=metric.batch_size)
    if len(scores) > 1:
        report_directions(scores)
    return {
        _score_key(options, image_set): {"output": each.scores, **each.baselines}
        for image_set, each in zip(image_sets, scores.values(), strict=True)
    }


def _score_key(options: EvaluateOptions, image_set: ImageSet) -> str:
    """The key of a set's scores: the direction, the name of a folder of images, or "noise"."""
    if options.kind == "folder":
        return Path(options.name).resolve().name
    return "noise" if options.kind == "noise" else image_set.output.name


def measure_pixels(options: EvaluateOptions) -> ScoreTable:
    """Prints L1, PSNR and SSIM of a run and of its baselines. Returns them by direction, row and name."""
    from img2img.evaluation.report import report_pixels
    from img2img.inference.loading import load_translator

    run = options.of_run
    translator = load_translator(
        options.name, checkpoint=run.checkpoint, device=options.device, norm_policy=run.norm_policy, data=run.data
    )
    return report_pixels(translator, run.paired, protocol=run.protocol, shave=options.shave, data=run.data)
