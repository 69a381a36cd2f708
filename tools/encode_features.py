"""Finds the styles of a run's training set: python tools/encode_features.py NAME|RUN_DIR [--clusters 10] [--help]."""

from img2img.errors import Parser, one_line_errors


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("run", help="name of a run under runs/, or its folder; trained with --model.instance_features")
    parser.add_argument("--clusters", type=int, default=10, help="styles of each class, at most (default: 10)")
    parser.add_argument(
        "--min-share",
        type=float,
        default=1 / 64,
        help="instances count that cover more than this part of their image (default: 1/64 = 0.015625), and all of "
        "a class that has none as large",
    )
    parser.add_argument("--checkpoint", default="latest", help="a step, best, or latest (default)")
    parser.add_argument("--device", help="cpu or cuda (default: the GPU if there is one)")
    args = parser.parse_args()
    from img2img.inference.loading import load_translator
    from img2img.inference.styles import encode_training_set

    translator = load_translator(args.run, checkpoint=args.checkpoint, device=args.device)
    path, notes = encode_training_set(translator, args.clusters, args.min_share)
    print("\n".join([str(translator.checkpoint), *notes]))
    print(f"styles      {path}\nsee them    python tools/infer.py {args.run} --style random --samples 5")


if __name__ == "__main__":
    with one_line_errors():
        main()
