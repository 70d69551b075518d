"""Batch norm over the batch of all ranks, on any device and backend.

torch's own SyncBatchNorm needs a GPU; this one is for other devices, and its tests state the arithmetic. Letters: B a
rank's part of a batch, D channels.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


class SynchronisedBatchNorm(_BatchNorm):
    """Batch norm of `x[B, D, ...]` by mean and variance over the parts of all ranks; B may be 0 on some of them."""

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"batch norm takes [B, D, ...], got {list(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        self._check_input_dim(x)
        y, mean, variance, count = _Normalise.apply(x, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._update_running(mean, variance, count)
        result: Tensor = y
        return result

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics towards `mean[D]` and `variance[D]` of a batch of `count` values a channel."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        if self.momentum is None:
            part = 1 / self.num_batches_tracked.to(mean.dtype)
        else:
            part = torch.as_tensor(self.momentum, dtype=mean.dtype)
        # torch normalises by the biased variance but keeps the unbiased estimate, and so does this
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), part.to(mean.device))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), part.to(mean.device))


class _Normalise(torch.autograd.Function):
    """Normalisation with its gradient; the statistics of ranks are merged as in Chan et al. (1983)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        over = [0, *range(2, x.ndim)]
        size = x.numel() // x.shape[1]
        precision = torch.promote_types(x.dtype, torch.float32)
        own = torch.zeros(2 * x.shape[1] + 1, dtype=precision, device=x.device)
        if size:
            variance, mean = torch.var_mean(x.to(precision), dim=over, correction=0)
            own = torch.cat([mean, variance, own.new_full((1,), float(size))])
        of_ranks = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(of_ranks, own)
        gathered, channels = torch.stack(of_ranks), x.shape[1]
        means, variances, counts = gathered[:, :channels], gathered[:, channels:-1], gathered[:, -1:]
        count = counts.sum()
        mean = (means * counts).sum(0) / count
        variance = ((variances + (means - mean) ** 2) * counts).sum(0) / count
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps), count)
        ctx.over = over
        ctx.mark_non_differentiable(mean, variance, count)
        y = F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps) if size else x.clone()
        return y, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, count = ctx.saved_tensors
        shape = [1, -1, *[1] * (x.ndim - 2)]
        centred = x.to(mean.dtype) - mean.view(shape)
        grad = grad_y.to(mean.dtype)
        own = torch.stack([grad.sum(ctx.over), (grad * centred).sum(ctx.over)])
        total = own.clone()
        distributed.all_reduce(total)
        of_mean, of_variance = total / count
        scale = inverse if weight is None else inverse * weight
        grad_x = (grad - of_mean.view(shape) - centred * (of_variance * inverse**2).view(shape)) * scale.view(shape)
        # this rank's part of the parameters' gradients: it is summed over ranks together with all other gradients
        grad_weight = None if weight is None else (own[1] * inverse).to(weight.dtype)
        grad_bias = None if weight is None else own[0].to(weight.dtype)
        return grad_x.to(x.dtype), grad_weight, grad_bias, None


def synchronise_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """Replace every batch norm of `model` by one over all ranks, with the same parameters, buffers and keys."""
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return converted
    for name, module in list(model.named_children()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            setattr(model, name, _to_synchronised(module))
        else:
            synchronise_batch_norm(module, device)
    return model


def _to_synchronised(module: _BatchNorm) -> SynchronisedBatchNorm:
    made = SynchronisedBatchNorm(
        module.num_features,
        eps=module.eps,
        momentum=module.momentum,
        affine=module.affine,
        track_running_stats=module.track_running_stats,
    )
    made.weight, made.bias = module.weight, module.bias
    made.running_mean, made.running_var = module.running_mean, module.running_var
    made.num_batches_tracked = module.num_batches_tracked
    return made.train(module.training)
