"""Official networks of super-resolution as functions of their state dicts, written from the published layouts.

``*_shapes`` give the official names and shapes, ``*_output`` what the official network makes of them. Images are (B, C,
H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
Weights = Mapping[str, Tensor]
LAYOUTS: dict[str, tuple[Callable[[int], list[str]], str]] = {
    # names of the outer convolutions by the number of blocks, and of those of the dense blocks
    "new": (
        lambda n: ["conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"],
        "body.{}.rdb{}.conv{}",
    ),
    "2021": (
        lambda n: ["conv_first", "trunk_conv", "upconv1", "upconv2", "HRconv", "conv_last"],
        "RRDB_trunk.{}.RDB{}.conv{}",
    ),
    "2018": (
        lambda n: ["model.0", f"model.1.sub.{n}", "model.3", "model.6", "model.8", "model.10"],
        "model.1.sub.{}.RDB{}.conv{}.0",
    ),
}


def with_bias(name: str, c_out: int, c_in: int, kernel: int = 3) -> Shapes:
    return {f"{name}.weight": (c_out, c_in, kernel, kernel), f"{name}.bias": (c_out,)}


def random_weights(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Weights as of a trained network, whose outputs are about as large as its inputs."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in shapes.items():
        value = torch.randn(shape, generator=generator)
        if key.endswith("running_var"):
            weights[key] = 0.2 * value.abs() + 0.1
        elif key.startswith("bn") and key.endswith(".weight"):
            weights[key] = 1 + 0.1 * value
        elif key.endswith("num_batches_tracked"):
            weights[key] = torch.tensor(7)
        elif key.endswith(("weight_u", "weight_v")):  # the singular vectors that training approaches
            kernel = weights[f"{key.rpartition('.')[0]}.weight_orig"]
            left, _, right = torch.linalg.svd(kernel.flatten(1), full_matrices=False)
            weights[key] = left[:, 0] if key.endswith("u") else right[0]
        else:
            weights[key] = 0.1 * value if len(shape) == 1 else value / (value[0].numel() / 1.5) ** 0.5
    return weights


def conv(w: Weights, name: str, x: Tensor) -> Tensor:
    kernel = w[f"{name}.weight"]
    return F.conv2d(x, kernel, w.get(f"{name}.bias"), padding=kernel.shape[-1] // 2)


def rrdb_shapes(
    *, scale: int = 4, blocks: int = 2, layout: str = "new", channels: int = 3, width: int = 8, growth: int = 4
) -> Shapes:
    outer, inner = LAYOUTS[layout]
    first, body, *others, last = outer(blocks)
    shapes = with_bias(first, width, channels * {4: 1, 2: 4, 1: 16}[scale])
    for block in range(blocks):
        for dense in (1, 2, 3):
            for place in (1, 2, 3, 4):
                shapes |= with_bias(inner.format(block, dense, place), growth, width + (place - 1) * growth)
            shapes |= with_bias(inner.format(block, dense, 5), width, width + 4 * growth)
    for name in (body, *others):
        shapes |= with_bias(name, width, width)
    return shapes | with_bias(last, channels, width)


def rrdb_output(w: Weights, x: Tensor, *, scale: int = 4, blocks: int = 2, layout: str = "new") -> Tensor:
    outer, inner = LAYOUTS[layout]
    first, body, up1, up2, hr, last = outer(blocks)
    if scale < 4:  # each 2x2 or 4x4 pixels become channels
        step = 4 // scale
        x = torch.stack([x[:, :, i::step, j::step] for i in range(step) for j in range(step)], dim=2).flatten(1, 2)
    start = trunk = conv(w, first, x)
    for block in range(blocks):
        inside = trunk
        for dense in (1, 2, 3):
            maps = [inside]
            for place in (1, 2, 3, 4):
                maps.append(F.leaky_relu(conv(w, inner.format(block, dense, place), torch.cat(maps, 1)), 0.2))
            inside = inside + 0.2 * conv(w, inner.format(block, dense, 5), torch.cat(maps, 1))
        trunk = trunk + 0.2 * inside
    y = start + conv(w, body, trunk)
    for name in (up1, up2):
        y = y.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        y = F.leaky_relu(conv(w, name, y), 0.2)
    return conv(w, last, F.leaky_relu(conv(w, hr, y), 0.2))


def shuffled(x: Tensor, scale: int) -> Tensor:
    """(B, C scale^2, H, W) -> (B, C, scale H, scale W)."""
    b, c, h, w = x.shape
    x = x.reshape(b, c // scale**2, scale, scale, h, w)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(b, c // scale**2, h * scale, w * scale)


def msrresnet_shapes(*, scale: int = 4, blocks: int = 2, channels: int = 3, width: int = 8) -> Shapes:
    shapes = with_bias("conv_first", width, channels)
    for block in range(blocks):
        shapes |= with_bias(f"body.{block}.conv1", width, width) | with_bias(f"body.{block}.conv2", width, width)
    shapes |= with_bias("upconv1", width * (9 if scale == 3 else 4), width)
    shapes |= with_bias("upconv2", width * 4, width) if scale == 4 else {}
    return shapes | with_bias("conv_hr", width, width) | with_bias("conv_last", channels, width)


def msrresnet_output(w: Weights, x: Tensor, *, scale: int = 4, blocks: int = 2) -> Tensor:
    y = F.leaky_relu(conv(w, "conv_first", x), 0.1)
    for block in range(blocks):
        y = y + conv(w, f"body.{block}.conv2", conv(w, f"body.{block}.conv1", y).relu())
    for name, factor in {2: [("upconv1", 2)], 3: [("upconv1", 3)], 4: [("upconv1", 2), ("upconv2", 2)]}[scale]:
        y = F.leaky_relu(shuffled(conv(w, name, y), factor), 0.1)
    y = conv(w, "conv_last", F.leaky_relu(conv(w, "conv_hr", y), 0.1))
    return y + F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def compact_shapes(*, scale: int = 4, blocks: int = 3, channels: int = 3, width: int = 8) -> Shapes:
    shapes: Shapes = {}
    for place in range(blocks + 1):
        shapes |= with_bias(f"body.{2 * place}", width, width if place else channels)
        shapes[f"body.{2 * place + 1}.weight"] = (width,)
    return shapes | with_bias(f"body.{2 * blocks + 2}", channels * scale**2, width)


def compact_output(w: Weights, x: Tensor, *, scale: int = 4, blocks: int = 3) -> Tensor:
    y = x
    for place in range(blocks + 1):
        y = conv(w, f"body.{2 * place}", y)
        y = torch.where(y > 0, y, y * w[f"body.{2 * place + 1}.weight"][:, None, None])
    y = shuffled(conv(w, f"body.{2 * blocks + 2}", y), scale)
    return y + x.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)


def vgg_shapes(*, size: int = 128, channels: int = 3, width: int = 4) -> Shapes:
    shapes: Shapes = {"conv0_0.bias": (width,)}
    wide, before = width, channels
    for stage in range(5 if size == 128 else 6):
        wide = width * min(8, 2**stage)
        shapes[f"conv{stage}_0.weight"], shapes[f"conv{stage}_1.weight"] = (wide, before, 3, 3), (wide, wide, 4, 4)
        for name in ([f"bn{stage}_0"] if stage else []) + [f"bn{stage}_1"]:
            shapes |= {f"{name}.{end}": (wide,) for end in ("weight", "bias", "running_mean", "running_var")}
            shapes[f"{name}.num_batches_tracked"] = ()
        before = wide
    shapes |= {"linear1.weight": (100, wide * 16), "linear1.bias": (100,)}
    return shapes | {"linear2.weight": (1, 100), "linear2.bias": (1,)}


def vgg_output(w: Weights, x: Tensor, *, size: int = 128) -> Tensor:
    for stage in range(5 if size == 128 else 6):
        for place in (0, 1):
            name = f"{stage}_{place}"
            x = F.conv2d(x, w[f"conv{name}.weight"], w.get(f"conv{name}.bias"), stride=1 + place, padding=1)
            if name != "0_0":
                mean, variance = w[f"bn{name}.running_mean"], w[f"bn{name}.running_var"]
                scale = w[f"bn{name}.weight"] / (variance + 1e-5).sqrt()
                x = (x - mean[:, None, None]) * scale[:, None, None] + w[f"bn{name}.bias"][:, None, None]
            x = F.leaky_relu(x, 0.2)
    x = F.leaky_relu(x.flatten(1) @ w["linear1.weight"].T + w["linear1.bias"], 0.2)
    return x @ w["linear2.weight"].T + w["linear2.bias"]


def unet_shapes(*, channels: int = 3, width: int = 4) -> Shapes:
    shapes = with_bias("conv0", width, channels) | with_bias("conv9", 1, width)
    ends = [(2, 1, 4), (4, 2, 4), (8, 4, 4), (4, 8, 3), (2, 4, 3), (1, 2, 3), (1, 1, 3), (1, 1, 3)]
    for number, (c_out, c_in, kernel) in enumerate(ends, 1):
        shape = (c_out * width, c_in * width, kernel, kernel)
        shapes[f"conv{number}.weight_orig"] = shape
        shapes[f"conv{number}.weight_u"] = (shape[0],)
        shapes[f"conv{number}.weight_v"] = (shape[1] * kernel * kernel,)
    return shapes


def unet_output(w: Weights, x: Tensor) -> Tensor:
    def normalised(number: int, image: Tensor, stride: int = 1) -> Tensor:
        kernel = w[f"conv{number}.weight_orig"]
        sigma = w[f"conv{number}.weight_u"] @ kernel.flatten(1) @ w[f"conv{number}.weight_v"]
        return F.leaky_relu(F.conv2d(image, kernel / sigma, None, stride, padding=1), 0.2)

    levels = [F.leaky_relu(conv(w, "conv0", x), 0.2)]
    for number in (1, 2, 3):
        levels.append(normalised(number, levels[-1], stride=2))
    y = levels.pop()
    for number in (4, 5, 6):
        y = normalised(number, F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)) + levels.pop()
    return conv(w, "conv9", normalised(8, normalised(7, y)))
