"""Saves and restores the image pools of all processes in one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator

from img2img.losses.image_pool import ImagePool


def gather_pools(accelerator: Accelerator, pools: Mapping[str, ImagePool]) -> list[dict[str, Any]]:
    """The states of all processes' pools, in order of rank, on rank 0; [] on the others.

    Sent one process at a time: pools are large, and the transfer needs GPU memory.
    """
    own = {name: pool.state() for name, pool in pools.items()}
    if accelerator.process_index:
        torch.distributed.send_object_list([own], dst=0)
        return []
    states = [own]
    for source in range(1, accelerator.num_processes):
        received: list[Any] = [None]
        torch.distributed.recv_object_list(received, src=source)
        states += received
    return states


def restore_pools(
    accelerator: Accelerator, pools: Mapping[str, ImagePool], saved: list[dict[str, Any]], *, width: int | None
) -> None:
    """Restores this process's pools. They stay empty if the number of processes or the image width has changed.

    Args:
        accelerator: of this process.
        pools: the pools by name.
        saved: what ``gather_pools`` returned on rank 0.
        width: of the images in pixels; None if they have no fixed width.
    """
    images = [pool["pictures"] for states in saved for pool in states.values() if pool["pictures"] is not None]
    if not images:
        return
    saved_height, saved_width = images[0].shape[-2:]
    if len(saved) != accelerator.num_processes:
        accelerator.print(f"the image pools were saved by {len(saved)} processes: they start empty")
    elif width not in (None, saved_width):
        accelerator.print(f"the image pools have images of {saved_width}x{saved_height}: they start empty")
    else:
        for name, pool in saved[accelerator.process_index].items():
            pools[name].restore(pool)
