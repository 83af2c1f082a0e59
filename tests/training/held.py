"""What each process of a sharded training holds: ``held.py BASE OUT`` writes OUT/NUMBER.json; see `main`."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch.distributed.tensor import DTensor

from cai.packed import layers_of
from cai.training.backbone import load_backbone
from cai.training.checkpoint import Checkpoints
from cai.training.parallel import Team
from cai.training.quiet import quiet_libraries
from cai.training.reward import RewardRun
from cai.training.rows import encode_groups
from tests.training.launched import SETTINGS
from tests.training.planted import preferences


def live() -> int:
    """Bytes of all tensors that this process holds; of sharded ones, of its part."""
    plain = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter)]
    memory = [one.untyped_storage() for one in plain if one.device.type != "meta"]
    return sum({one.data_ptr(): one.nbytes() for one in memory}.values())


@contextmanager
def gathering() -> Iterator[list[int]]:
    """Bytes held beyond those at the start, after each tensor that is put together inside."""
    gc.collect()
    before, held, full_tensor = live(), [], DTensor.full_tensor

    def watched(one: DTensor) -> torch.Tensor:
        full = full_tensor(one)
        held.append(live() - before)
        return full

    DTensor.full_tensor = watched
    try:
        yield held
    finally:
        DTensor.full_tensor = full_tensor


def main(base: Path, out: Path) -> None:
    """Start, take a step, save and end; write the sizes of what is trained, and what was held beside the parts of it.

    `parted` says, for each time that the first layer was read, whether the second lay there in parts.
    """
    team, made, parted = Team.gathered(), load_backbone(base, 0), []
    first, second = layers_of(made.model)
    first.register_forward_pre_hook(
        lambda *_: parted.append(all(isinstance(one, DTensor) for one in second.parameters()))
    )
    groups, _ = encode_groups(made.chat, preferences(29, 0.8), SETTINGS.max_length, "reject")
    run = RewardRun(made, groups, SETTINGS, 0, team)
    run.advance()
    store = team.first(lambda: Checkpoints(out / "left", "key"))
    with gathering() as saving:
        run.save(store)
    with gathering() as ending:
        run.model(lambda: load_backbone(base, 0))
    sizes = [one.numel() * one.element_size() for one in run.trained().values()]
    said = {"sizes": sizes, "parted": parted, "saving": saving, "ending": ending}
    (out / f"{team.number}.json").write_text(json.dumps(said))
    team.wait()


if __name__ == "__main__":
    with quiet_libraries():
        main(Path(sys.argv[1]), Path(sys.argv[2]))
