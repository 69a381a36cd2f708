"""The official networks, rebuilt in plain torch from their published layouts, as a reference for ours."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from img2img.interop import import_official


def norm_of(norm: str, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if norm == "instance" else nn.Identity()


class Level(nn.Module):
    """One level of the nested U-Net; except for the outermost it returns (x, output) concatenated."""

    def __init__(self, layers: list[nn.Module], outermost: bool) -> None:
        super().__init__()
        self.model, self.outermost = nn.Sequential(*layers), outermost

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Nested(nn.Module):
    def __init__(self, c_in: int, c_out: int, num_downs: int, ngf: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = norm == "instance"
        widths = [ngf, 2 * ngf, 4 * ngf] + [8 * ngf] * (num_downs - 3)

        def level(number: int) -> Level:
            outer = widths[number - 1] if number else c_in
            inner = widths[number]
            down = nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)
            if number == num_downs - 1:
                up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias)
                return Level([nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm_of(norm, outer)], False)
            if number == 0:
                up = nn.ConvTranspose2d(2 * inner, c_out, 4, 2, 1)
                return Level([nn.Conv2d(c_in, inner, 4, 2, 1, bias=bias), level(1), nn.ReLU(), up, nn.Tanh()], True)
            up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=bias)
            layers = [nn.LeakyReLU(0.2), down, norm_of(norm, inner), level(number + 1), nn.ReLU(), up]
            layers += [norm_of(norm, outer)]
            return Level(layers + ([nn.Dropout(0.5)] if dropout and inner == outer == 8 * ngf else []), False)

        self.model = level(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Block(nn.Module):
    def __init__(self, width: int, norm: str, dropout: bool, bias: bool) -> None:
        super().__init__()
        conv = [nn.Conv2d(width, width, 3, bias=bias) for _ in range(2)]
        layers = [nn.ReflectionPad2d(1), conv[0], norm_of(norm, width), nn.ReLU()]
        layers += [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(*layers, nn.ReflectionPad2d(1), conv[1], norm_of(norm, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def chain(
    c_in: int, c_out: int, ngf: int, n_downs: int, n_blocks: int, norm: str, dropout: bool = False, bias: bool = True
) -> list[nn.Module]:
    """Layers of junyanz's ResNet (bias before instance norm alone) and of pix2pixHD's generators (always)."""
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(c_in, ngf, 7, bias=bias), norm_of(norm, ngf), nn.ReLU()]
    width = ngf
    for _ in range(n_downs):
        layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), norm_of(norm, 2 * width), nn.ReLU()]
        width *= 2
    layers += [Block(width, norm, dropout, bias) for _ in range(n_blocks)]
    for _ in range(n_downs):
        up = nn.ConvTranspose2d(width, width // 2, 3, 2, 1, output_padding=1, bias=bias)
        layers += [up, norm_of(norm, width // 2), nn.ReLU()]
        width //= 2
    return [*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, c_out, 7), nn.Tanh()]


class Chain(nn.Module):
    """What has one ``model``: ResNets, global generators, encoders, PatchGANs."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def patches(
    c_in: int, ndf: int, n_layers: int, norm: str, bias: bool, padding: int = 1, widest: int | None = None
) -> list[list[nn.Module]]:
    """Layers of a PatchGAN, stage by stage; their widths double up to 8 x ndf, or in pix2pixHD's code up to 512."""
    stages = [[nn.Conv2d(c_in, ndf, 4, 2, padding), nn.LeakyReLU(0.2)]]
    width = ndf
    for layer in range(1, n_layers + 1):
        wide = min(ndf * 2**layer, widest or 8 * ndf)
        conv = nn.Conv2d(width, wide, 4, 2 if layer < n_layers else 1, padding, bias=bias)
        stages.append([conv, norm_of(norm, wide), nn.LeakyReLU(0.2)])
        width = wide
    return [*stages, [nn.Conv2d(width, 1, 4, 1, padding)]]


class Pixels(nn.Module):
    def __init__(self, c_in: int, ndf: int, norm: str, bias: bool | None = None) -> None:
        super().__init__()
        bias = norm == "instance" if bias is None else bias  # older versions of the code had it otherwise
        second, third = nn.Conv2d(ndf, 2 * ndf, 1, bias=bias), nn.Conv2d(2 * ndf, 1, 1, bias=bias)
        layers = [nn.Conv2d(c_in, ndf, 1), nn.LeakyReLU(0.2), second, norm_of(norm, 2 * ndf), nn.LeakyReLU(0.2), third]
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Local(nn.Module):
    """The global generator without its output, and an enhancer for each resolution above it."""

    def __init__(self, c_in: int, c_out: int, ngf: int, n_downs: int, n_blocks: int, n_local: int, norm: str) -> None:
        super().__init__()
        self.model = nn.Sequential(*chain(c_in, c_out, ngf * 2**n_local, n_downs, n_blocks, norm)[:-3])
        self.n_local = n_local
        for number in range(1, n_local + 1):
            width = ngf * 2 ** (n_local - number)
            whole = chain(c_in, c_out, width, 1, 3, norm)
            setattr(self, f"model{number}_1", nn.Sequential(*whole[:7]))
            setattr(self, f"model{number}_2", nn.Sequential(*whole[7 : None if number == n_local else -3]))
        self.halve = nn.AvgPool2d(3, 2, [1, 1], count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        pyramid = [x]
        for _ in range(self.n_local):
            pyramid.append(self.halve(pyramid[-1]))
        answer = self.model(pyramid[-1])
        for number in range(1, self.n_local + 1):
            front, back = getattr(self, f"model{number}_1"), getattr(self, f"model{number}_2")
            answer = back(front(pyramid[self.n_local - number]) + answer)
        return answer


class Scales(nn.Module):
    """Several PatchGANs, the last of which sees the full resolution."""

    def __init__(self, c_in: int, ndf: int, n_layers: int, num: int, norm: str, features: bool) -> None:
        super().__init__()
        self.num, self.n_layers, self.features = num, n_layers, features
        for scale in range(num):
            stages = patches(c_in, ndf, n_layers, norm, bias=True, padding=2, widest=512)
            if features:
                for i, stage in enumerate(stages):
                    setattr(self, f"scale{scale}_layer{i}", nn.Sequential(*stage))
            else:
                setattr(self, f"layer{scale}", nn.Sequential(*(layer for stage in stages for layer in stage)))
        self.halve = nn.AvgPool2d(3, 2, [1, 1], count_include_pad=False)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """For each scale, the finest first, the outputs of its stages, or the last alone."""
        found = []
        for scale in reversed(range(self.num)):
            if self.features:
                outputs = [x]
                for i in range(self.n_layers + 2):
                    outputs.append(getattr(self, f"scale{scale}_layer{i}")(outputs[-1]))
                found.append(outputs[1:])
            else:
                found.append([getattr(self, f"layer{scale}")(x)])
            x = self.halve(x)
        return found


class StarBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(*star_conv(width, width, 3, 1, 1), *star_conv(width, width, 3, 1, 1)[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)


class StarGenerator(nn.Module):
    """StarGAN's, as the layer table of arXiv 1711.09020, Appendix, with the official code's norm.

    The official code never leaves training mode, where instance norm takes the statistics of the image.
    """

    def __init__(self, ngf: int, domains: int, n_blocks: int, channels: int = 3) -> None:
        super().__init__()
        layers = star_conv(channels + domains, ngf, 7, 1, 3)
        layers += star_conv(ngf, 2 * ngf, 4, 2, 1) + star_conv(2 * ngf, 4 * ngf, 4, 2, 1)
        layers += [StarBlock(4 * ngf) for _ in range(n_blocks)]
        for width in (4 * ngf, 2 * ngf):
            up = nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)
            layers += [up, star_norm(width // 2), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.Conv2d(ngf, channels, 7, 1, 3, bias=False), nn.Tanh())

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        planes = c.view(*c.shape, 1, 1).repeat(1, 1, x.size(2), x.size(3))
        return self.main(torch.cat([x, planes], 1))


class StarDiscriminator(nn.Module):
    """StarGAN's, for images of ``size``: a map of logits, and logits of the domains."""

    def __init__(self, size: int, ndf: int, domains: int, n_layers: int, channels: int = 3) -> None:
        super().__init__()
        widths = [channels, *(ndf * 2**i for i in range(n_layers))]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.LeakyReLU(0.01)]
        self.main = nn.Sequential(*layers)
        self.conv1 = nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(widths[-1], domains, size // 2**n_layers, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.main(x)
        classes = self.conv2(h)
        return self.conv1(h), classes.view(classes.size(0), classes.size(1))


def star_conv(c_in: int, c_out: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False), star_norm(c_out), nn.ReLU()]


def star_norm(width: int) -> nn.Module:
    return nn.InstanceNorm2d(width, affine=True, track_running_stats=True)


def randomised(network: nn.Module) -> Any:
    """Gives all weights, biases and statistics random values, as of a trained network."""
    torch.manual_seed(0)
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        elif key.endswith("num_batches_tracked"):
            value.fill_(7)
        elif value.dim() == 1:
            value.normal_(0.3, 0.5)
        else:
            value.normal_(0.0, (2 / value[0].numel()) ** 0.5)
    return network.eval()


def refuses(content: Any, reason: str, path: Path) -> None:
    """Asserts that a saved content is refused in one line that begins with the file and matches ``reason``."""
    torch.save(content, path)
    with pytest.raises(ValueError, match=reason) as raised:
        import_official(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def saved(network: nn.Module, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return path
