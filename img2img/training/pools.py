"""The image pools of all processes, in one checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator

from img2img.losses.image_pool import ImagePool


def gather_pools(accelerator: Accelerator, pools: Mapping[str, ImagePool]) -> list[dict[str, Any]]:
    """Every process's pools, on the first; one after the other, since pools are large and go by way of the GPU."""
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
    """Gives a process its own pools back; they begin anew if they are of other processes or of another ``width``."""
    held = [pool["pictures"] for of in saved for pool in of.values() if pool["pictures"] is not None]
    if not held:
        return
    there = held[0].shape[-1]
    if len(saved) != accelerator.num_processes:
        accelerator.print(f"the image pools were of {len(saved)} processes: they begin anew, empty")
    elif width not in (None, there):
        accelerator.print(f"the image pools have images of {there}x{held[0].shape[-2]}: they begin anew, empty")
    else:
        for name, pool in saved[accelerator.process_index].items():
            pools[name].restore(pool)
