"""One process or several, started by `accelerate launch`: data parallel, or sharded (FSDP) where `--use_fsdp` asks.

Several processes without an accelerator train on the CPU over gloo. Sharding is PyTorch's own `fully_shard`, on every
kind of device alike: accelerate has none for the CPU.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import Tensor, nn

T = TypeVar("T")
_HANDLES: list[Any] = []
"""Of the last messages. A thread of gloo that was the last to hold one would need the interpreter to let go of it, and
abort the process if that has begun to end."""


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a training. With one, every method does nothing but hand on what it is given."""

    state: Any

    @classmethod
    def gathered(cls) -> Team:
        """This process and those that were launched with it."""
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        if several:  # each process loads the weights itself; transformers would leave them out of all but the first
            os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        return cls(PartialState(cpu=True) if several and not torch.accelerator.is_available() else PartialState())

    @property
    def size(self) -> int:
        return int(self.state.num_processes)

    @property
    def number(self) -> int:
        return int(self.state.process_index)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.number == 0

    @property
    def device(self) -> torch.device:
        # accelerate names the CPU of a second process "cpu:0", which is no other device than "cpu".
        device: torch.device = self.state.device
        return torch.device("cpu") if device.type == "cpu" else device

    @property
    def shards(self) -> bool:
        """Whether weights are spread over the processes."""
        return self.size > 1 and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            self.state.wait_for_everyone()

    def first(self, work: Callable[[], T]) -> T:
        """`work()` on the leading process, then on the others."""
        if self.leads:
            done = work()
        self.wait()
        if not self.leads:
            done = work()
        self.wait()
        return done

    def told(self, value: T) -> T:
        """What the leading process holds, plain data as JSON has it."""
        return value if self.size == 1 else self._sent(value, 0)

    def summed(self, number: float) -> float:
        """The sum of every process's `number`."""
        if self.size == 1:
            return number
        total = torch.tensor(number, dtype=torch.float64, device="cpu" if self.device.type == "cpu" else self.device)
        torch.distributed.all_reduce(total)
        return float(total)

    def agreed(self, said: str) -> str:
        """What the first process that says anything says, or nothing; every process asks."""
        if self.size == 1:
            return said
        every = [self._sent(said, number) for number in range(self.size)]
        return next((one for one in every if one), "")

    def _sent(self, value: T, sender: int) -> T:
        """What the process of that number holds; every process asks."""
        data = json.dumps(value).encode() if self.number == sender else b""
        length = torch.tensor([len(data)], device=self.device)
        handles = [torch.distributed.broadcast(length, src=sender, async_op=True)]
        handles[0].wait()
        text = torch.frombuffer(bytearray(data.ljust(int(length))), dtype=torch.uint8).to(self.device)
        handles.append(torch.distributed.broadcast(text, src=sender, async_op=True))
        handles[1].wait()
        _HANDLES[:] = handles
        sent: T = json.loads(bytes(text.tolist()))
        return sent

    def spread(self, module: nn.Module, layers: Iterable[nn.Module]) -> None:
        """Bring `module` to this process's device; of one that is sharded by `layers`, this process's part.

        Then each layer, and what lies in none, is whole on the device only for as long as it takes to be parted.
        """
        if not self.shards:
            module.to(self.device)
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device.type, (self.size,))
        for part in (*layers, module):
            fully_shard(part, mesh=mesh)

    def part_again(self, module: nn.Module) -> None:
        """Leave this process with its part of a sharded `module` alone, after passes that no step followed."""
        if not self.shards:
            return
        from torch.distributed.fsdp import FSDPModule

        for part in (one for one in module.modules() if isinstance(one, FSDPModule)):
            if part is module and hasattr(part, "reset_iter_state"):  # new in torch: after a pass that broke off, too
                part.reset_iter_state()
            part.reshard()

    def wrap(self, module: nn.Module) -> nn.Module:
        """`module`, on its device, so that its gradients become the mean over the processes."""
        if self.size == 1 or self.shards:
            return module
        devices = None if self.device.type == "cpu" else [self.device]
        return nn.parallel.DistributedDataParallel(module, device_ids=devices)

    def alone(self, module: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Keeps gradients of all but the last micro-batch to this process."""
        if last or not isinstance(module, nn.parallel.DistributedDataParallel):
            return nullcontext()
        kept: AbstractContextManager[None] = module.no_sync()
        return kept

    def collected(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors by name, all of each, on the leading process, and nothing on the others; every process asks.

        Shards are put together one tensor at a time; what was is kept in the leader's main memory, not on its device.
        """
        held = {}
        for name, one in tensors:
            full = whole(one)
            if self.leads:
                held[name] = full.cpu() if self.shards else full
            del full  # before the next is put together
        return held


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be sharded; every process must ask, in one order."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach()


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor`, which every process has whole, spread as `like` is."""
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor, like.device_mesh, like.placements)


def unwrapped(module: nn.Module) -> nn.Module:
    """`module` without the data-parallel one around it."""
    inner: nn.Module = module.module if isinstance(module, nn.parallel.DistributedDataParallel) else module
    return inner
