"""Float networks in PyTorch, each small and each with another set of operators."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_NORMS = nn.BatchNorm1d | nn.BatchNorm2d


class Residual(nn.Sequential):
    """relu(x + body(x))."""

    def forward(self, x):
        return torch.relu(x + super().forward(x))


class Branches(nn.Module):
    """Its two branches, side by side along the channels."""

    def __init__(self, left: nn.Module, right: nn.Module):
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x):
        return torch.cat([self.left(x), self.right(x)], 1)


class Gated(nn.Sequential):
    """x * gate(x), as in squeeze-and-excitation."""

    def forward(self, x):
        return x * super().forward(x)


class Normalized(nn.Module):
    """A convolution that is read twice, so that its batch norm cannot be folded into it."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.conv(x)
        return torch.relu(self.bn(y)) + y


def residual_cnn() -> nn.Module:
    """Convolution, batch norm, ReLU, max pool, residual add, global average pool, Gemm."""
    body = (
        nn.Conv2d(8, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
    )
    stem = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    return nn.Sequential(*stem, nn.MaxPool2d(2), Residual(*body), *head)


def separable_cnn() -> nn.Module:
    """Strided, depthwise, grouped and dilated convolutions; ReLU6 and another clip."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 16, 1),
        nn.Hardtanh(-0.4, 0.7),
        nn.Conv2d(16, 16, 3, stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=4),
        nn.ReLU6(),
        nn.Conv2d(16, 32, 3, padding=1, groups=16),  # depthwise with a multiplier of 2
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


def branching_cnn() -> nn.Module:
    """Asymmetric kernels and strides, concat, average pool, Gemm over a flattened map."""
    wide = nn.Sequential(nn.Conv2d(6, 4, (1, 5), padding=(0, 2)), nn.ReLU())
    tall = nn.Sequential(nn.Conv2d(6, 6, (5, 1), padding=(2, 0), bias=False), nn.ReLU())
    return nn.Sequential(
        nn.Conv2d(3, 6, (3, 2), stride=(1, 2), padding=(0, 1)),
        nn.Tanh(),
        Branches(wide, tall),
        nn.AvgPool2d(2),
        nn.Conv2d(10, 4, 3),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def pooling_cnn() -> nn.Module:
    """Pools that overlap, pad, and leave a remainder."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
        nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.Conv2d(6, 6, 1),
        nn.MaxPool2d((2, 3), stride=(1, 2), ceil_mode=True),
        nn.Flatten(),
        nn.Linear(36, 5),
    )


def gated_cnn() -> nn.Module:
    """A product of two activations, hard swish, and one layer's weights used twice."""
    gate = nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 3, 1), nn.ReLU(), nn.Conv2d(3, 6, 1), nn.Sigmoid()
    shared = nn.Conv2d(6, 6, 3, padding=1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.Hardswish(),
        shared,
        nn.ReLU(),
        shared,
        Gated(*gate),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


def batch_norm_cnn() -> nn.Module:
    """Batch norms that no convolution feeds, or not alone."""
    return nn.Sequential(
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(6),
        Normalized(6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


def gelu_cnn() -> nn.Module:
    """GELU with the error function and with a hyperbolic tangent."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=6),
        nn.GELU(approximate="tanh"),
        nn.Conv2d(6, 4, 1),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


def prelu_cnn() -> nn.Module:
    """PReLU with a slope for each channel and with one, behind convolutions and a Gemm."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.PReLU(6),
        nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False),
        nn.PReLU(init=-0.3),
        nn.Conv2d(8, 4, 1),
        nn.PReLU(4, init=1.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 6),
        nn.PReLU(6),
        nn.Linear(6, 5),
    )


def one_dimensional_cnn() -> nn.Module:
    """Convolutions over time, as for motion or sound; an ELU and a leaky ReLU among them."""
    return nn.Sequential(
        nn.Conv1d(3, 8, 5, stride=2, padding=2),
        nn.LeakyReLU(0.1),
        nn.MaxPool1d(2),
        nn.Conv1d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.BatchNorm1d(8),
        nn.ELU(),
        nn.AvgPool1d(2),
        nn.Conv1d(8, 6, 1),
        nn.Hardswish(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


def sigmoid_mlp() -> nn.Module:
    layers = nn.Linear(20, 16), nn.Sigmoid(), nn.Linear(16, 12, bias=False), nn.Tanh()
    return nn.Sequential(*layers, nn.Linear(12, 5))


def autoencoder() -> nn.Module:
    layers = nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 12), nn.ReLU()
    return nn.Sequential(*layers, nn.Linear(12, 20), nn.Sigmoid())


def randomized(net: nn.Module) -> nn.Module:
    """`net` for evaluation, its batch norms with statistics as after training."""
    for module in net.modules():
        if isinstance(module, _NORMS):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
    return net.eval()


def folded(net: nn.Module) -> nn.Module:
    """What trains on the device: batch norms folded into their convolutions, where those are."""
    net = copy.deepcopy(net)
    for module in list(net.modules()):
        if isinstance(module, nn.Sequential):
            for index in range(1, len(module)):
                conv, bn = module[index - 1], module[index]
                if isinstance(conv, nn.Conv1d | nn.Conv2d) and isinstance(bn, _NORMS):
                    module[index - 1], module[index] = fuse_conv_bn_eval(conv, bn), nn.Identity()
    return net.requires_grad_()  # the bias that folding gives a convolution, too
