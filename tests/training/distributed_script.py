"""Run by two processes: trains, checks that both have the same weights, and prints the number of processes."""

import sys
from pathlib import Path

import numpy as np
import torch

from img2img.config import load_config
from img2img.data.images import UnreadableImage
from img2img.errors import one_line_errors
from img2img.training.starting import start_from
from img2img.training.trainer import Trainer


def main() -> None:
    config = load_config(Path(sys.argv[1]))
    trainer = Trainer(config, Path("runs") / config.name)
    resume = "--resume" in sys.argv
    if resume:
        trainer.restore()
    elif config.train.init_from:
        start_from(trainer.networks, config.train.init_from)
    if "--unreadable" in sys.argv and trainer.accelerator.process_index == 1:
        broken = int(sys.argv[sys.argv.index("--unreadable") + 1])
        read = trainer.train_set.source.read

        def unreadable(index: int) -> tuple[np.ndarray, np.ndarray]:
            if trainer.step >= broken:
                raise UnreadableImage("this.png: does not exist")
            return read(index)

        trainer.train_set.source.read = unreadable
    with one_line_errors():
        trainer.fit(resume=resume)
    flat = torch.cat([p.detach().flatten() for net in trainer.networks.bare.values() for p in net.parameters()])
    both = trainer.accelerator.gather(flat[None])
    assert (both == both[0]).all(), "the processes have different weights"
    trainer.accelerator.print(f"processes: {trainer.accelerator.num_processes}")
    trainer.close()


if __name__ == "__main__":
    main()
