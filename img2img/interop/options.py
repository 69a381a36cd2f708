"""The options of an imported run: those that the weights determine, and those that the user gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from img2img.config import Config, build_config, option_parser, parse
from img2img.data import dataset_class
from img2img.data.domain_labels import MASK
from img2img.data.domains import DomainsConfig, DomainsDataset
from img2img.data.labelled import LabelledConfig
from img2img.data.options import DataConfig, domains
from img2img.interop.layouts import NetworkSpec
from img2img.models import model_class
from img2img.training_options import TrainConfig

Networks = Mapping[str, tuple[nn.Module, NetworkSpec]]
CITYSCAPES = 36  # input channels of pix2pixHD on Cityscapes: 35 classes and instance boundaries


@dataclass(frozen=True)
class UserOptions:
    """What official weights don't determine; options of ``img2img import``."""

    label_nc: int | None = None
    """pix2pixHD only: number of classes of the generator's input; 0: the input is an image; None: guess."""
    no_instances: bool = False
    """pix2pixHD only: the generator's input has no instance boundaries (trained with --no_instance)."""
    root: Path | None = None
    """Folder of the run's data set."""
    root_a: Path | None = None
    """CycleGAN only, instead of ``root``: folder of images of A."""
    root_b: Path | None = None
    """CycleGAN only, instead of ``root``: folder of images of B."""
    domains: Sequence[str] | None = None
    """StarGAN only: names of the domains, in the order of the labels; None: the preset's, else c1, c2, ..."""
    exclusive: bool = False
    """StarGAN only: the domains exclude each other; else they are attributes (with a preset, as it says)."""
    joint_domains: Sequence[str] | None = None
    """StarGAN only, trained jointly on two sets: names of the second set's domains; ``domains`` are the first's."""


def run_config(
    model: str, name: str, networks: Networks, base: Config | None, *, direction: str, user: UserOptions
) -> tuple[Config, list[str]]:
    """The options of a run with these networks.

    Args:
        model: pix2pix, cyclegan or pix2pixhd.
        name: name of the run.
        networks: networks and their architectures, by role.
        base: a preset. Options of the weights and of the user override it.
        direction: direction of the translation.
        user: what the weights don't determine.

    Returns:
        The options, and lines to print about guesses.

    Raises:
        ValueError: the networks, the preset and the user's options contradict each other.
    """
    _refuse_options_of_stargan(user, model)
    options, channels, notes = _options_of_networks(model, networks, direction)
    kind = model_class(model)
    data = base.data if base else dataset_class(kind.dataset).Config()
    train = base.train if base else TrainConfig()
    changed: dict[str, Any] = {}
    if model == "pix2pixhd":
        condition, note = read_condition(networks, base, user)
        notes.append(note)
        options["instance_features"] = "E" in networks
        changed = {"direction": "AtoB", **channels, **condition, **({} if base else _sizes_of_label_maps(options))}
        if options["stage"] == "local":  # fine-tuning with these options starts from the whole imported run
            train = replace(train, init_from=name, freeze_global_epochs=0.0)
    else:
        _refuse_options_of_pix2pixhd(user, model)
        changed = {"direction": direction, **channels, **({} if base else _sizes_of_unet(options))}
    if model == "cyclegan" and channels["channels_a"] != channels["channels_b"]:
        options["lambda_identity"] = 0.0
    data = replace(data, **changed, **_folders(data, user))
    model_config = replace(base.model, **options) if base else kind.Config(**options)
    if base:
        return replace(base, name=name, model=model_config, data=data, train=train), notes
    return Config(name, model_config, data, train=train), notes


def stargan_config(
    name: str, networks: Networks, base: Config | None, *, direction: str | None, user: UserOptions
) -> tuple[Config, list[str]]:
    """The options of a run of StarGAN with these networks.

    Args:
        name: name of the run.
        networks: networks and their architectures, by role.
        base: a preset. Options of the weights and of the user override it.
        direction: domain that inference translates to by default; None: the preset's or the first.
        user: what the weights don't determine.

    Returns:
        The options, and lines to print about guesses and about what is dropped.

    Raises:
        ValueError: the networks, the preset and the user's options contradict each other.
    """
    _refuse_options_of_pix2pixhd(user, "stargan")
    config = base or _defaults("stargan", name)
    data = config.data
    assert isinstance(data, DomainsConfig), "the data of StarGAN"
    own = networks["G"][1].options
    joint_names = list(user.joint_domains or data.joint_names or ()) or None
    joint = len(joint_names) + MASK if joint_names else 0
    if own["domains"] - joint < 2:
        raise ValueError(f"--joint-domains: {len(joint_names or ())} are too many, the generator has {own['domains']}")
    names, is_exclusive, note = _domain_names(own["domains"] - joint, base, user)
    options = {"ngf": own["ngf"], "n_blocks": own["n_blocks"]}
    changed: dict[str, Any] = {"image_channels": own["in_channels"], "names": names, "direction": names[0]}
    changed |= {"joint_names": joint_names}
    changed |= {"attributes": None, "exclusive": None} if is_exclusive else {"attributes": names}
    if "D" in networks:
        seen = networks["D"][1].options
        _check_pair(own, seen, is_joint=joint_names is not None)
        side = seen["size"]
        options |= {"ndf": seen["ndf"], "n_layers_d": seen["n_layers"], "size": side}
        changed |= {"crop_size": side, "load_size": max(side, data.load_size if base else 0)}
    notes = [note]
    if count := len(networks["G"][1].dropped):
        notes.append(
            f"{count} running statistics of instance norm dropped: the official network is used in training mode, "
            "which takes the statistics of the image; with the running ones its images are wrong"
        )
    of_preset = data.direction
    data = replace(data, **changed, **_folders(data, user))
    if direction is None and of_preset in DomainsDataset.directions(data):
        direction = of_preset
    data = replace(data, direction=direction or names[0])
    return replace(config, name=name, model=replace(config.model, **options), data=data), notes


def srgan_config(
    name: str, networks: Networks, base: Config | None, *, direction: str | None, user: UserOptions
) -> tuple[Config, list[str]]:
    """The options of a run of super-resolution with these networks.

    Without a preset the inputs of fine-tuning are the images of its data set, reduced by the networks' scale; with
    scale 1 it takes pairs.

    Args:
        name: name of the run.
        networks: networks and their architectures, by role.
        base: a preset, whose data have the networks' scale. Options of the weights and of the user override it.
        direction: of pairs; None: the preset's, else AtoB.
        user: what the weights don't determine.

    Returns:
        The options, and lines to print about what is assumed.

    Raises:
        ValueError: the networks, the preset and the user's options contradict each other.
    """
    _refuse_options_of_stargan(user, "srgan")
    _refuse_options_of_pix2pixhd(user, "srgan")
    config = base or _defaults("srgan", name)
    kind, own = networks["G"][1].kind, dict(networks["G"][1].options)
    channels, scale = own.pop("in_channels"), own["scale"]
    if own.pop("out_channels") != channels or channels not in (1, 3):
        raise ValueError(f"G takes images of {channels} channels: runs of super-resolution have 1 or 3, in and out")
    if base and base.data.scale not in (None, scale):
        raise ValueError(f"--config: the preset enlarges {base.data.scale} times, but the weights {scale} times")
    options = {**own, "network": kind}
    changed: dict[str, Any] = {"channels_a": channels, "channels_b": channels, "scale": scale}
    notes = []
    if base is None:
        changed |= {"down": scale if scale > 1 else None, "crop_size": config.data.crop_size // scale * scale}
        made = f"made by data.down {scale}" if scale > 1 else "those of pairs"
        notes.append(f"inputs of fine-tuning are {made}; a preset has other ones (--config)")
    options["patch"] = None  # that of the data
    if "D" in networks:
        discriminator, seen = networks["D"][1].kind.removesuffix("_discriminator"), networks["D"][1].options
        options |= {"stage": "gan", "discriminator": discriminator, "ndf": seen["width"]}
        if "size" in seen:
            changed["crop_size"] = options["patch"] = seen["size"]
        if base is None:
            notes.append("weights don't show the losses of the stage gan: these are model srgan's defaults (--config)")
    if direction is not None:
        changed["direction"] = direction
    data = replace(config.data, **changed, **_folders(config.data, user))
    return replace(config, name=name, model=replace(config.model, **options), data=data), notes


def _refuse_options_of_stargan(user: UserOptions, model: str) -> None:
    if user.domains is not None or user.exclusive or user.joint_domains is not None:
        raise ValueError(f"--domains, --exclusive, --joint-domains: only for stargan, but the weights are of {model}")


def _refuse_options_of_pix2pixhd(user: UserOptions, model: str) -> None:
    if user.label_nc is not None or user.no_instances:
        raise ValueError(f"--label-nc, --no-instances: only for pix2pixhd, but the weights are of {model}")


def _defaults(model: str, name: str) -> Config:
    """The options of a model without a preset."""
    parser = option_parser(model)
    return build_config(parser, parse(parser, []), name)


def _domain_names(count: int, base: Config | None, user: UserOptions) -> tuple[list[str], bool, str]:
    """The names of the domains of a generator with ``count`` of them.

    Returns:
        The names, whether the domains exclude each other (else they are attributes), and a line to print about them.

    Raises:
        ValueError: the user or the preset gives another number of names, or a name twice.
    """
    data: Any = base.data if base else DomainsConfig()
    of_preset = data.names or data.attributes
    option = "--domains" if user.domains is not None else "--config"
    names = list(user.domains or of_preset or [f"c{number}" for number in range(1, count + 1)])
    if len(names) != count:
        raise ValueError(f"{option} names {len(names)} domains ({', '.join(names)}), but the generator has {count}")
    if len(set(names)) < count:
        raise ValueError(f"{option} names a domain twice: {', '.join(names)}")
    is_exclusive = user.exclusive or (base is not None and not data.attributes)
    hints = [] if user.domains or of_preset else ["--domains names them"]
    hints += [] if base or is_exclusive else ["--exclusive if they exclude each other"]
    kind = "domains that exclude each other" if is_exclusive else "attributes"
    note = f"{count} labels taken as {kind}: {', '.join(names)}" + (f" ({'; '.join(hints)})" if hints else "")
    return names, is_exclusive, note


def _check_pair(own: Mapping[str, Any], seen: Mapping[str, Any], *, is_joint: bool) -> None:
    """Raises ValueError unless StarGAN's discriminator (options ``seen``) belongs to the generator (``own``)."""
    if own["domains"] == seen["domains"] + MASK:
        if is_joint:
            return
        raise ValueError(
            f"G has {own['domains']} labels, D only {seen['domains']}: two sets trained jointly, with a mask; name the "
            "second set's domains with --joint-domains"
        )
    if is_joint:
        raise ValueError(f"--joint-domains: G and D have {own['domains']} labels, so they were trained on one set")
    for key in ("domains", "in_channels"):
        if own[key] != seen[key]:
            raise ValueError(f"{key} of D is {seen[key]}, but that of G {own[key]}; leave D out with --only G")


def _options_of_networks(
    model: str, networks: Networks, direction: str
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Model options that the networks determine, channels of the domains, and lines to print about them."""
    options: dict[str, Any] = {"upsample": "deconv"}
    channels: dict[str, Any] = {}
    notes: list[str] = []
    for role, (_, spec) in networks.items():
        own = dict(spec.options)
        ends = own.pop("in_channels"), own.pop("out_channels", 0)  # of input and output
        if role.startswith("G"):
            _agree(channels, _channels_of_generator(model, role, spec, ends, direction), role)
            own = _options_of_generator(model, spec, own)
        elif spec.kind == "encoder":
            n_downs = own.pop("n_downs")
            own["n_downs_e"] = None if n_downs == options["n_downs"] else n_downs
        else:
            own = _options_of_discriminator(spec, own)
            if "lambda_feat" in own:
                notes.append(f"model.lambda_feat 0: {role} was trained without feature matching (--no_ganFeat_loss)")
        _agree(options, own, role)
    return options, channels, notes


def _channels_of_generator(
    model: str, role: str, spec: NetworkSpec, ends: tuple[int, int], direction: str
) -> dict[str, int]:
    """The channels of domains A and B of a generator with ``ends`` (input, output) channels."""
    if spec.kind == "coarse_to_fine":  # its input is read by read_condition
        return {"channels_b": ends[1]}
    names = {"G": domains(direction), "G_A": ("a", "b"), "G_B": ("b", "a")}[role]
    return {f"channels_{domain}": channels for domain, channels in zip(names, ends, strict=True)}


def _options_of_generator(model: str, spec: NetworkSpec, own: dict[str, Any]) -> dict[str, Any]:
    if spec.kind == "coarse_to_fine":
        n_enhancers = own["n_enhancers"]
        return own | (
            {"stage": "local", "n_enhancers": n_enhancers} if n_enhancers else {"stage": "global", "n_enhancers": 1}
        )
    own = {key: value for key, value in own.items() if key != "n_downs"} | {"generator": spec.kind}
    if model == "cyclegan" and spec.kind == "unet":  # weights don't show dropout: CycleGAN's official default
        del own["dropout_innermost"]
        own["dropout"] = False
    return own


def _options_of_discriminator(spec: NetworkSpec, own: dict[str, Any]) -> dict[str, Any]:
    names = {"n_layers": "n_layers_d", "last_bias": "last_bias_d"}
    names |= {"max_width": "max_ndf"} if spec.kind == "multi_scale" else {}
    own = {names.get(key, key): value for key, value in own.items()}
    return own | ({"lambda_feat": 0.0} if spec.chain else {})  # its layout without feature matching


def _sizes_of_label_maps(options: Mapping[str, Any]) -> dict[str, Any]:
    """Data options of a pix2pixHD run without a preset: width 1024, sizes that its networks can downsample."""
    n_downs = options["n_downs"] + (options["n_enhancers"] if options["stage"] == "local" else 0)
    stride = 2 ** max(n_downs, options.get("n_downs_e") or 0)
    return {"preprocess": "scale_width", "load_size": 1024, "stride": stride}


def _sizes_of_unet(options: Mapping[str, Any]) -> dict[str, Any]:
    """Data options of a U-Net without a preset: square images that it can downsample."""
    if options["generator"] != "unet":
        return {}
    side = max(256, 2 ** options["num_downs"])
    return {"crop_size": side, "load_size": side + 30}


def _folders(data: DataConfig, user: UserOptions) -> dict[str, Any]:
    """Data options of the user's folders. Raises ValueError if there is no such folder, or the model can't take it."""
    keys = ("root", "root_a", "root_b")
    given = {key: folder for key in keys if (folder := getattr(user, key)) is not None}
    if not given:
        return {}
    for key, folder in given.items():
        if not folder.is_dir():
            raise ValueError(f"--data.{key} {folder}: no such folder")
    if set(given) not in ({"root"}, {"root_a", "root_b"}) or not set(given) <= set(data.folders):
        raise ValueError(
            "--data.root: give the folder of the data set; cyclegan only takes --data.root_a and --data.root_b instead"
        )
    return {key: str(given[key]) if key in given else None for key in data.folders} | {"toy": False}


def _agree(options: dict[str, Any], added: Mapping[str, Any], role: str) -> None:
    """Adds options. Raises ValueError if another network has another value, since a model has one for all."""
    for key, value in added.items():
        if options.setdefault(key, value) != value:
            raise ValueError(f"{key} of {role} is {value}, but that of the other networks {options[key]}")


def read_condition(networks: Networks, base: Config | None, user: UserOptions) -> tuple[dict[str, Any], str]:
    """The meaning of the input channels of pix2pixHD's generator: classes, instance boundaries, encoder features.

    The weights show the number of channels only. A discriminator beside the generator sees the same channels except
    the features.

    Returns:
        Data options, and a line to print about them.
    """
    generator = networks["G"][1].options
    total = generator["in_channels"]
    features = networks["E"][1].options["n_features"] if "E" in networks else 0
    channels = (
        networks["D"][1].options["in_channels"] - generator["out_channels"] if "D" in networks else total - features
    )
    if channels + features != total:
        raise ValueError(
            f"the input of G has {total} channels, of which D sees {channels} and E makes {features}: put the "
            "encoder's file (latest_net_E.pth) beside it; networks trained with --load_features can't be imported"
        )
    if base:
        assert isinstance(base.data, LabelledConfig), "the data of pix2pixHD"
        if user.label_nc is None and not user.no_instances:
            return {}, _condition_of_preset(channels, base.data)
        if user.label_nc is None:
            user = replace(user, label_nc=base.data.label_nc)
    label_nc, instances = _classes(channels, features, user)
    note = _describe(channels, label_nc, instances)
    if features and not (label_nc and instances):
        raise ValueError(f"{note}, and encoder features: these need label maps with instances")
    options = {"label_nc": label_nc, "instances": instances} if label_nc else {"label_nc": 0, "channels_a": channels}
    is_a_guess = user.label_nc is None and not features and channels != CITYSCAPES
    if is_a_guess:
        note += f" (a guess; {_other_readings(channels, label_nc, without_d='D' not in networks, user=user)})"
    return options, note


def _condition_of_preset(channels: int, data: LabelledConfig) -> str:
    """The line to print about channels that the preset determines. Raises ValueError if their number differs."""
    expected = data.label_nc + data.instances if data.label_nc else data.channels["input"]
    if expected != channels:
        raise ValueError(
            f"the generator's input has {channels} channels, but {expected} with data.label_nc {data.label_nc} and "
            f"data.instances {str(data.instances).lower()} of --config"
        )
    return f"{_describe(channels, data.label_nc, data.instances)} (--config)"


def _other_readings(channels: int, label_nc: int, *, without_d: bool, user: UserOptions) -> str:
    """The options to give if the channels mean something else."""
    text = f"--label-nc {channels} --no-instances for {channels} classes"
    text += (
        f", --label-nc {channels - 1} for {channels - 1} and instance boundaries"
        if not label_nc and channels > 2
        else ""
    )
    if label_nc and without_d and not user.no_instances:
        text += "; a smaller --label-nc with latest_net_E.pth beside the file, if some are encoder features"
    return text


def _classes(channels: int, features: int, user: UserOptions) -> tuple[int, bool]:
    """(number of classes, whether there are instance boundaries) of input channels; 0 classes: images.

    Raises:
        ValueError: the user's options don't fit the number of channels, or it is ambiguous.
    """
    options = f"--label-nc {user.label_nc}" + (" --no-instances" if user.no_instances else "")
    if user.label_nc is not None:
        with_boundaries = channels == user.label_nc + 1 and not user.no_instances
        if user.label_nc == 0 and channels in (1, 3, 4) and (channels != 4 or user.no_instances):
            return 0, False
        if user.label_nc == 0:
            raise ValueError(
                f"{options}: the generator's input has {channels} channels; images have 1, 3, or 4 (RGBA, with "
                "--no-instances); instance boundaries beside an image are not supported"
            )
        if user.label_nc < 0 or not (with_boundaries or channels == user.label_nc):
            raise ValueError(
                f"{options}: the generator's input has {channels} channels: {channels} classes, or {channels - 1} and "
                "instance boundaries"
                + ("" if features else "; with encoder features, put latest_net_E.pth beside the file")
            )
        return user.label_nc, with_boundaries
    if features:
        return (channels, False) if user.no_instances else (channels - 1, True)
    if channels == 4:
        raise ValueError(
            "the generator's input has 4 channels, which is ambiguous: give --label-nc 3 (classes and instance "
            "boundaries), --label-nc 4 --no-instances (classes), or --label-nc 0 --no-instances (RGBA); instance "
            "boundaries beside an image are not supported"
        )
    if channels in (1, 3):
        return 0, False
    return (channels, False) if user.no_instances else (channels - 1, True)


def _describe(channels: int, label_nc: int, instances: bool) -> str:
    """How many input channels are taken as what."""
    if label_nc:
        content = f"{label_nc} class{'es' if label_nc > 1 else ''}" + (" and instance boundaries" if instances else "")
    else:
        content = "images"
    return f"{channels} input channel{'s' if channels > 1 else ''} taken as {content}"
