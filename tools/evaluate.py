"""Measures a run on its validation set: python tools/evaluate.py NAME|RUN_DIR [--checkpoint STEP] [--help]."""

import json
from dataclasses import asdict

from img2img.errors import Parser, one_line_errors


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("run", help="name of a run under runs/, or its folder")
    parser.add_argument("--checkpoint", default="latest", help="a step, or latest (default)")
    parser.add_argument("--device", help="cpu or cuda (default: the GPU if there is one)")
    parser.add_argument("--norm-policy", choices=["running", "batch"], default="running", help="see tools/infer.py")
    parser.add_argument("--paired", action="store_true", help="unpaired validation pictures of one name are partners")
    args = parser.parse_args()
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
