"""Translates pictures with a trained run: python tools/infer.py NAME|RUN_DIR [--input FILE|DIR] [--help]."""

import argparse
import sys
from pathlib import Path

from img2img.errors import Parser, one_line_errors


def parse() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("run", help="name of a run under runs/, or its folder")
    parser.add_argument("--input", type=Path, help="picture or folder of pictures; without it the run's validation set")
    parser.add_argument("--output", type=Path, help="folder to write to (default: RUN/results/STEP[/DIRECTION])")
    parser.add_argument("--direction", choices=["AtoB", "BtoA"], help="of a run that learnt both (default: its own)")
    parser.add_argument("--cycle", action="store_true", help="grids show the translation back to the input, too")
    parser.add_argument("--checkpoint", default="latest", help="a step, or latest (default)")
    parser.add_argument("--device", help="cpu or cuda (default: the GPU if there is one)")
    parser.add_argument(
        "--training-size",
        action="store_true",
        help="resize each picture to the size of the run's training, and the answer back to the picture's own",
    )
    parser.add_argument(
        "--instances", type=Path, help="of label maps: the instance map, or folder of those, of --input"
    )
    parser.add_argument("--style", help="of label maps: encode:PHOTO draws in the style of a photo")
    parser.add_argument("--samples", type=int, default=0, help="write N different answers, with dropout on")
    parser.add_argument("--seed", type=int, default=0, help="of the first of these answers")
    parser.add_argument(
        "--norm-policy",
        choices=["running", "batch"],
        default="running",
        help="batch norm by the statistics of training (default), or by the picture's own as in the pix2pix paper",
    )
    return parser.parse_args()


def main() -> int:
    args = parse()
    from img2img.inference.files import translate_files
    from img2img.inference.translator import load_translator

    chosen = (args.norm_policy, args.samples > 0, args.training_size, args.direction)
    translator = load_translator(args.run, args.checkpoint, args.device, *chosen)
    output = args.output or translator.results
    more = (args.samples, args.seed, args.cycle, args.instances, args.style)
    unreadable = translate_files(translator, args.input, output, *more)
    print(f"run         {translator.run}, {translator.direction}\npictures    {output}\ngrids       {output / 'grids'}")
    return 2 if unreadable else 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
