"""The solver types: what each subtracts from a weight, given its gradient g and the rate lr.

The regularised gradient comes in `diff`; what is subtracted is left there. A rule's histories live
from one update to the next.
"""

import math
from collections import defaultdict
from functools import partial

import torch

from ...errors import CaffeError
from ..memory import DIFF, Memory
from ..precision import laid_out_as
from .registry import register_solver
from .solver import Solver


@register_solver("SGD")
class SGDSolver(Solver):
    """Momentum SGD. V <- mu V + lr g; w <- w - V, the rate inside the history."""

    def check(self) -> None:
        self.check_factor("momentum", lowest=-1)

    def update(self, diff: torch.Tensor, rate: float, history: torch.Tensor) -> None:
        history.mul_(self.param.momentum).add_(diff, alpha=rate)
        diff.copy_(history)

    def update_all(self, rate: float) -> None:
        """Update all parameters, by torch's fused SGD in one pass over each array where that can do
        what the settings say.

        Its rate would stand outside of the history. So it gets the rate 1, and the gradient divided
        by 1 / lr. What is subtracted is then the history itself, which is copied to the gradient
        only if somebody asks for that.
        """
        if (self.net.debug_info.enabled or self.param.regularization_type != "L2"
                or self.param.momentum <= 0 or self.param.iter_size < 1
                or any(history.dtype != torch.float32 for history in self.history)
                or type(self).update is not SGDSolver.update):
            super().update_all(rate)
            return
        alike = defaultdict(list)
        for (blob, spec), history in zip(self.net.program.learnable, self.history):
            alike[spec.lr_mult, spec.decay_mult].append((blob, history))
        for (lr_mult, decay_mult), pairs in alike.items():
            local, histories = rate * lr_mult, [history for _, history in pairs]
            scale = torch.full((), local / self.param.iter_size, dtype=torch.float32,
                               device=histories[0].device)
            torch._fused_sgd_(
                [blob.data_tensor for blob, _ in pairs],
                [laid_out_as(blob.diff_tensor, history) for blob, history in pairs],
                histories, weight_decay=local * self.param.weight_decay * decay_mult,
                momentum=self.param.momentum, lr=1.0, dampening=0.0, nesterov=False,
                maximize=False, is_first_step=False, grad_scale=scale.reciprocal())
            for blob, history in pairs:
                blob.clear_diff()
                blob.memories[DIFF].set_lazily(partial(_take_copy, history))


def _take_copy(history: torch.Tensor, memory: Memory) -> None:
    memory.assign(history.clone())


@register_solver("Nesterov")
class NesterovSolver(Solver):
    """V' = mu V + lr g; w <- w - ((1 + mu) V' - mu V) (Nesterov 1983, Sutskever et al. 2013)."""

    def check(self) -> None:
        self.check_factor("momentum", lowest=-1)

    def update(self, diff: torch.Tensor, rate: float, history: torch.Tensor) -> None:
        momentum = self.param.momentum
        before = history.clone()
        history.mul_(momentum).add_(diff, alpha=rate)
        diff.copy_(history).mul_(1 + momentum).sub_(before, alpha=momentum)


class WithoutMomentum(Solver):
    """A rule that scales the rate itself."""

    def check(self) -> None:
        if self.param.momentum:
            raise CaffeError(f"{self._source}: momentum {self.param.momentum:g} cannot be used "
                             f"with the solver type {type(self).__name__.removesuffix('Solver')}")


@register_solver("AdaGrad")
class AdaGradSolver(WithoutMomentum):
    """H <- H + g^2; w <- w - lr g / (sqrt(H) + delta) (Duchi et al. 2011)."""

    squares = (0,)

    def update(self, diff: torch.Tensor, rate: float, history: torch.Tensor) -> None:
        history.addcmul_(diff, diff)
        diff.mul_(rate).div_(history.sqrt().add_(self.param.delta))


@register_solver("RMSProp")
class RMSPropSolver(WithoutMomentum):
    """H <- d H + (1 - d) g^2; w <- w - lr g / (sqrt(H) + delta), d the rms_decay."""

    squares = (0,)

    def check(self) -> None:
        super().check()
        if not 0 <= self.param.rms_decay < 1:
            raise CaffeError(f"{self._source}: expected rms_decay in [0, 1), "
                             f"got {self.param.rms_decay:g}")

    def update(self, diff: torch.Tensor, rate: float, history: torch.Tensor) -> None:
        decay = self.param.rms_decay
        history.mul_(decay).addcmul_(diff, diff, value=1 - decay)
        diff.mul_(rate).div_(history.sqrt().add_(self.param.delta))


@register_solver("AdaDelta")
class AdaDeltaSolver(Solver):
    """H <- mu H + (1 - mu) g^2; u = g sqrt((U + delta) / (H + delta)); U <- mu U + (1 - mu) u^2;
    w <- w - lr u (Zeiler 2012)."""

    histories = 2
    squares = (0, 1)

    def check(self) -> None:
        self.check_factor("momentum")

    def update(self, diff: torch.Tensor, rate: float, gradients: torch.Tensor,
               updates: torch.Tensor) -> None:
        mu, delta = self.param.momentum, self.param.delta
        gradients.mul_(mu).addcmul_(diff, diff, value=1 - mu)
        diff.mul_(((updates + delta) / (gradients + delta)).sqrt_())
        updates.mul_(mu).addcmul_(diff, diff, value=1 - mu)
        diff.mul_(rate)


@register_solver("Adam")
class AdamSolver(Solver):
    """M <- b1 M + (1 - b1) g; V <- b2 V + (1 - b2) g^2; at update t,
    w <- w - lr sqrt(1 - b2^t) / (1 - b1^t) M / (sqrt(V) + delta), b1 the momentum and b2 momentum2
    (Kingma and Ba 2015)."""

    histories = 2
    squares = (1,)

    def check(self) -> None:
        self.check_factor("momentum", lowest=-1)
        self.check_factor("momentum2")

    def update(self, diff: torch.Tensor, rate: float, first: torch.Tensor, second: torch.Tensor
              ) -> None:
        beta1, beta2, t = self.param.momentum, self.param.momentum2, self.iter + 1
        first.mul_(beta1).add_(diff, alpha=1 - beta1)
        second.mul_(beta2).addcmul_(diff, diff, value=1 - beta2)
        correction = math.sqrt(1 - beta2 ** t) / (1 - beta1 ** t)
        diff.copy_(first).mul_(rate * correction).div_(second.sqrt().add_(self.param.delta))
