"""Cut large images into overlapping squares, which training reads faster.

    python datasets/cut.py photos --to datasets/photos
    python datasets/cut.py photos --to datasets/photos --size 256 --step 256

Folders stay as they are: photos/train/street.jpg becomes train/street_s001.png, street_s002.png, ... row by row.
"""

from pathlib import Path

from img2img.errors import Parser, one_line_errors


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("source", metavar="DIR", type=Path, help="folder of images, such as one with train/ and val/")
    parser.add_argument("--to", metavar="DIR", type=Path, required=True, help="new folder for the squares, PNG files")
    parser.add_argument("--size", metavar="PIXELS", type=int, default=512, help="side of the squares (default: 512)")
    parser.add_argument(
        "--step",
        metavar="PIXELS",
        type=int,
        help="distance between the corners of neighbours, at most the size (default: three quarters of it)",
    )
    args = parser.parse_args()
    from img2img.data.cut import cut_images

    step = max(1, args.size * 3 // 4) if args.step is None else args.step
    images, squares = cut_images(args.source, args.to, size=args.size, step=step)
    print(f"cut         {images} images into {squares} squares: {args.to}")


if __name__ == "__main__":
    with one_line_errors():
        main()
