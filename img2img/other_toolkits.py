"""What other toolkits call commands and options: the answer to a name of theirs, and the table in README.md.

Names of junyanz/pytorch-CycleGAN-and-pix2pix and NVIDIA/pix2pixHD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Names = Sequence[tuple[str, str]]
"""(their options, separated by spaces; ours, or what to do instead)."""

TRAIN: Names = (
    ("--dataroot", "--data.root"),
    ("--dataset_mode", "follows from --model"),
    ("--continue_train --epoch_count", "--name NAME --resume"),
    ("--n_epochs --niter", "--train.epochs"),
    ("--n_epochs_decay --niter_decay", "--train.decay_epochs"),
    ("--direction --which_direction", "--data.direction"),
    ("--gpu_ids", "accelerate launch starts a process on each GPU; CUDA_VISIBLE_DEVICES chooses them"),
    ("--netG --which_model_netG", "--model.generator unet or resnet, with --model.num_downs or --model.n_blocks"),
    ("--norm", "--model.norm"),
    ("--ngf", "--model.ngf"),
    ("--ndf", "--model.ndf"),
    ("--n_layers_D", "--model.n_layers_d"),
    ("--no_dropout", "--model.dropout false"),
    ("--load_size --loadSize", "--data.load_size"),
    ("--crop_size --fineSize", "--data.crop_size"),
    ("--preprocess --resize_or_crop", "--data.preprocess"),
    ("--no_flip", "--data.flip false"),
    ("--input_nc", "--data.channels_a"),
    ("--output_nc", "--data.channels_b"),
    ("--batch_size --batchSize", "--data.batch_size"),
    ("--num_threads --nThreads", "--data.num_workers"),
    ("--max_dataset_size", "a folder with fewer images, and --train.max_steps"),
    ("--beta1", "--optim.betas '[0.5,0.999]', of which it is the first"),
    ("--lr_policy", "--optim.schedule"),
    (
        "--gan_mode",
        "--model.gan_loss lsgan, vanilla; for wgangp, which trains there without any penalty, wasserstein with "
        "--balance.gradient_penalty wgan-gp --model.norm instance, or with --optim.clip_d",
    ),
    ("--lambda_L1", "--model.lambda_l1"),
    ("--lambda_A", "--model.lambda_cycle_a, or --model.lambda_cycle for both"),
    ("--lambda_B", "--model.lambda_cycle_b, or --model.lambda_cycle for both"),
    ("--lambda_identity", "--model.lambda_identity"),
    ("--label_nc", "--data.label_nc"),
    ("--no_instance", "--data.instances false"),
    ("--load_pretrain", "--train.init_from, of a local stage with --model.stage local"),
    ("--niter_fix_global", "--train.freeze_global_epochs"),
    ("--instance_feat", "--model.instance_features true"),
    ("--no_vgg_loss", "--model.lambda_vgg 0"),
    ("--num_D", "--model.n_scales"),
    ("--print_freq", "--train.log_every"),
    ("--display_freq", "--train.sample_every"),
    ("--save_latest_freq --save_epoch_freq", "--train.save_every, in steps"),
    ("--checkpoints_dir", "the folder runs/ of the current folder"),
)
INFER: Names = (
    ("--name", "the run's name without an option, after the command"),
    ("--dataroot", "--input"),
    ("--results_dir", "--output"),
    ("--epoch --which_epoch", "--checkpoint"),
    ("--eval", "the default; --norm-policy batch is test.py without it, --samples 1 its dropout"),
    ("--gpu_ids", "--device cpu or cuda"),
    ("--num_test --how_many", "a folder with the images, by --input"),
    ("--preprocess --load_size --loadSize", "--training-size, if images must be resized at all"),
)
EVALUATE: Names = (
    ("--name", "the run's name without an option, after the command"),
    ("--epoch --which_epoch", "--checkpoint"),
    ("--gpu_ids", "--device cpu or cuda"),
)
COMMANDS: Names = (
    ("test predict", "infer"),
    ("combine_A_and_B", "pair"),
    ("prepare_cityscapes_dataset", "cityscapes"),
    ("precompute_feature_maps", "styles"),
)
BY_COMMAND: Mapping[str, Names] = {"train": TRAIN, "infer": INFER, "evaluate": EVALUATE}


def command_here(name: str) -> str | None:
    """Our command for another toolkit's script, such as "test" or "test.py"; None for unknown ones."""
    script = name.removesuffix(".py")
    return next((here for there, here in COMMANDS if script in there.split()), None)


def name_here(command: str, option: str) -> str | None:
    """Our name of another toolkit's option, such as "--dataroot", or what to do instead; None for unknown ones."""
    names = BY_COMMAND.get(command, ())
    return next((here for there, here in names if option in there.split()), None)


def table() -> str:
    """The rows of the table in README.md."""
    rows = ["| there | here |", "| --- | --- |"]
    for command, names in BY_COMMAND.items():
        before = "" if command == "train" else f"`{command}`: "
        for there, here in names:
            theirs = ", ".join(f"`{option}`" for option in there.split())
            rows.append(f"| {theirs} | {before}{here} |")
    return "\n".join(rows)
