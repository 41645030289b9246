"""The examples of docs/passes.md run, one behind the other, as a reader would paste them."""

import linecache
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/passes.md"


@pytest.fixture(scope="module")
def namespace():
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) >= 6
    module = ModuleType("passes_document")
    sys.modules[module.__name__] = module  # TVMScript looks for its source there
    found = vars(module)
    torch.manual_seed(0)
    for number, block in enumerate(blocks):
        name = f"<docs/passes.md, example {number}>"
        linecache.cache[name] = len(block), None, block.splitlines(True), name  # TVMScript reads it
        exec(compile(block, name, "exec"), found)
    yield found
    del sys.modules[module.__name__]


def test_a_channel_sparse_step_is_pytorchs(namespace):
    """The last example, on the network of the second: what trains, and only that."""
    network, image = namespace["network"], namespace["image"]
    loss = torch.nn.functional.cross_entropy(network(image), torch.tensor([2]))
    loss.backward()
    layer = network[3]
    weight = (layer.weight - 0.1 * layer.weight.grad)[:, ::4].detach().numpy()
    np.testing.assert_allclose(namespace["trained"].numpy(), weight, atol=1e-6)
    np.testing.assert_allclose(
        namespace["bias"].numpy(), (layer.bias - 0.1 * layer.bias.grad).detach(), atol=1e-6
    )
    np.testing.assert_allclose(namespace["loss"].numpy(), loss.item(), atol=1e-6)
