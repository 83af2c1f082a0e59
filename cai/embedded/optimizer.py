"""The recipe's optimizer: Muon (Jordan et al. 2024) for the matrices inside the layers, Adam for everything else.

Muon replaces the momentum of a matrix by the nearest matrix with orthogonal rows or columns, found by five
Newton-Schulz steps. Matrices of one shape are stepped as one stack. State is plain tensors, saved as safetensors.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

import torch
from torch import Tensor

STACK = 6  # matrices that one job steps


def orthogonalised(stack: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz on a stack (n, rows, columns): singular values of each matrix go to about 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = stack.size(1) > stack.size(2)
    x = stack.transpose(1, 2) if tall else stack
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    done: Tensor = x.transpose(1, 2) if tall else x
    return done


class MuonAdam:
    """Both optimizers over named parameters; `lr` is a factor 0 … 1 on both base rates."""

    def __init__(
        self, named: dict[str, Tensor], muon_lr: float, adam_lr: float, weight_decay: float = 0.01
    ) -> None:  # fmt: skip
        self.named, self.muon_lr, self.adam_lr, self.weight_decay = named, muon_lr, adam_lr, weight_decay
        self.steps = 0
        self.shapes: dict[tuple[int, ...], list[str]] = {}
        self.plain: list[str] = []
        for name, parameter in named.items():
            if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name:
                self.shapes.setdefault(tuple(parameter.shape), []).append(name)
            else:
                self.plain.append(name)
        self.momentum = {shape: named[names[0]].new_zeros(len(names), *shape) for shape, names in self.shapes.items()}
        self.first = {name: torch.zeros_like(named[name]) for name in self.plain}
        self.second = {name: torch.zeros_like(named[name]) for name in self.plain}

    def step(self, lr: float, workers: Executor) -> None:
        """One update from the gradients, which are then cleared; stacks are stepped side by side."""
        self.steps += 1
        jobs: list[Callable[[], None]] = []
        for shape, names in self.shapes.items():
            for at in range(0, len(names), STACK):
                momentum = self.momentum[shape][at : at + STACK]
                jobs.append(partial(self._muon, names[at : at + STACK], momentum, lr * self.muon_lr))
        jobs += [partial(self._adam, name, lr * self.adam_lr) for name in self.plain]
        for done in [workers.submit(job) for job in jobs]:
            done.result()
        for parameter in self.named.values():
            parameter.grad = None

    @torch.no_grad()
    def _muon(self, names: list[str], momentum: Tensor, lr: float) -> None:
        grads = torch.stack([self._grad(name) for name in names])
        momentum.lerp_(grads, 0.05)
        update = orthogonalised(grads.lerp(momentum, 0.95))
        scale = max(1.0, update.size(1) / update.size(2)) ** 0.5
        for name, one in zip(names, update, strict=True):
            self.named[name].mul_(1 - lr * self.weight_decay).add_(one, alpha=-lr * scale)

    @torch.no_grad()
    def _adam(self, name: str, lr: float) -> None:
        grad, first, second = self._grad(name), self.first[name], self.second[name]
        first.lerp_(grad, 0.1)
        second.lerp_(grad.square(), 0.02)
        unbiased = second / (1 - 0.98**self.steps)
        self.named[name].addcdiv_(first, unbiased.sqrt().add_(1e-8), value=-lr / (1 - 0.9**self.steps))

    def _grad(self, name: str) -> Tensor:
        grad = self.named[name].grad
        assert grad is not None, name
        return grad

    def state(self) -> dict[str, Tensor]:
        """Every state tensor under a flat name."""
        return {
            **{f"momentum.{'x'.join(map(str, shape))}": value for shape, value in self.momentum.items()},
            **{f"first.{name}": value for name, value in self.first.items()},
            **{f"second.{name}": value for name, value in self.second.items()},
        }

    @torch.no_grad()
    def load(self, state: dict[str, Tensor], steps: int) -> None:
        """Take over a state from `state()`."""
        self.steps = steps
        for name, value in self.state().items():
            value.copy_(state[name])
