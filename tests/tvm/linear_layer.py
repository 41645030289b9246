"""A linear layer that TVM users train, and what PyTorch makes of it."""

import numpy as np
import torch
import tvm
import tvm_user as user
from tvm.script import ir as I
from tvm.script import relax as R

from tvm_ondevice_train.relay import transform


@I.ir_module
class Linear:
    @R.function
    def main(
        x: R.Tensor((2, 6), "float32"),
        w: R.Tensor((6, 4), "float32"),
        b: R.Tensor((4,), "float32"),
    ):
        with R.dataflow():
            h = R.matmul(x, w)
            y = R.add(h, b)
            R.output(y)
        return y


LABELS = np.array([2, 0], np.int32)
SIZES = {"x": (2, 6), "w": (6, 4), "b": (4,)}
_RANDOM = np.random.default_rng(0)
VALUES = {n: _RANDOM.normal(size=s).astype(np.float32) for n, s in SIZES.items()}


def losses(loss: str = "cross_entropy") -> tvm.IRModule:
    return transform.AppendLoss(loss)(Linear)


def torch_gradients(loss=torch.nn.functional.cross_entropy, target=LABELS) -> dict:
    x, w, b = (torch.tensor(VALUES[n], requires_grad=n != "x") for n in "xwb")
    target = torch.tensor(target)
    value = loss(x @ w + b, target.long() if target.dtype == torch.int32 else target)
    value.backward()
    return {"loss": value.item(), "w": w.grad.numpy(), "b": b.grad.numpy()}


def stepped(gradients: dict) -> dict:
    updated = {n: VALUES[n] - user.RATE * gradients[n] for n in "wb"}
    return {"loss": gradients["loss"], **updated}
