"""Translates pictures with a trained run: python tools/infer.py NAME|RUN_DIR [--input FILE|DIR] [--help]."""

import argparse
import sys
from pathlib import Path

from img2img.errors import Parser, one_line_errors


def parse() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("run", help="name of a run under runs/, or its folder")
    parser.add_argument("--input", type=Path, help="picture or folder of pictures; without it the run's validation set")
    parser.add_argument("--output", type=Path, help="folder to write to (default: RUN/results/STEP[/DIRECTION|/STYLE])")
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
    styles = "random, cluster:CLASS=N,..., instance:ID=N,... or encode:PHOTO; several with ';' between"
    parser.add_argument("--style", help=f"of label maps: {styles}")
    parser.add_argument("--relabel", help="of label maps: FROM:TO,... makes regions of one class those of another")
    parser.add_argument("--samples", type=int, default=0, help="write N answers, by dropout or --style random")
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

    dropout = args.samples > 0 and args.style is None
    chosen = (args.norm_policy, dropout, args.training_size, args.direction)
    translator = load_translator(args.run, args.checkpoint, args.device, *chosen)
    output = args.output or translator.results(args.style, args.relabel)
    more = (args.samples, args.seed, args.cycle, args.instances, args.style, args.relabel)
    unreadable = translate_files(translator, args.input, output, *more)
    print(f"run         {translator.run}, {translator.direction}\npictures    {output}\ngrids       {output / 'grids'}")
    return 2 if unreadable else 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
