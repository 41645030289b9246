"""States of an optimizer in 8 bits: as NumPy computes them, what they cost, how they learn."""

import numpy as np
import pytest
import tiny
import tvm
from shared import slow, slow_after
from stochastic_rounding import updated_codes
from test_optimizers import assert_near, salt_of, scale_of
from tiny_projects import tiny_project
from torch_network import samples
from tvm import relax

import tvm_ondevice_train as odt
from relay_passes import SparseBackward
from relay_passes.optimizers import Adam, AdamW, Momentum
from tvm_ondevice_train.device import Session

F = np.float32
IN_CODES = ("conv.weight",)  # of `tiny.network()`, whose other tensors are small


def decoded(states, name):
    """The state `name`, as the device's arithmetic sees it."""
    if f"{name}_scale" not in states:
        return states[name]
    real = states[name].astype(F) * states[f"{name}_scale"][:, None]
    return real * real if name.endswith("square") else real


def coded(fresh, name, step, blocks):
    """Codes and scales of the values `fresh` of a state."""
    rooted = name.endswith("square")
    kept = (np.sqrt(fresh) if rooted else fresh).reshape(blocks)
    peak = np.abs(kept).max(1)
    factor = np.divide(F(127), peak, out=np.zeros_like(peak), where=peak >= F(1e-30))
    change = -(kept * factor[:, None])
    codes = updated_codes(np.zeros(blocks, np.int8), change, 127, salt_of(5, step, name))
    return np.maximum(codes, 1) if rooted else codes, peak * F(1 / 127)


def averages(optimizer, gradient, value, old):
    """The new states, in float32, from the definition."""
    decay = F(optimizer.weight_decay)
    if isinstance(optimizer, Momentum):
        seen = gradient + decay * value if decay else gradient
        return {"velocity": F(optimizer.momentum) * old["velocity"] + seen}
    terms = {"mean": (gradient, optimizer.beta1), "square": (gradient**2, optimizer.beta2)}
    return {s: F(b) * old[s] + (1 - F(b)) * term for s, (term, b) in terms.items()}


@pytest.mark.parametrize(
    "optimizer",
    slow_after(
        1,
        [AdamW(0.02, state_dtype="int8"), Momentum(0.02, weight_decay=0.04, state_dtype="int8")],
        ids=["adamw", "momentum"],
    ),
)
def test_states_are_coded_block_by_block(optimizer, tmp_path):
    """To the bit; gradients are what a second device gets for its velocity from nothing."""
    _, directory = tiny_project(tmp_path / "p", optimizer, quantized=True)
    _, other = tiny_project(tmp_path / "q", Momentum(), quantized=True)
    names = [state.name for state in optimizer.states]
    x, y = samples(8, np.int8)
    with Session(directory) as device, Session(other) as gradients:
        gradients.set_hyperparameters(momentum=0.0)
        device.set_seed(5)
        for step in range(len(x)):
            before, old = device.parameters(), device.optimizer_states()
            gradients.set_parameters(before)
            gradients.train(x[step], y[step])
            device.train(x[step], y[step])
            after, new = device.parameters(), device.optimizer_states()
            for name, codes in before.items():
                shape, scale = codes.shape, scale_of(device, name, codes.shape)
                value = codes * F(1 if scale is None else scale)
                gradient = gradients.optimizer_states()[f"{name}.velocity"]
                olds = {s: decoded(old, f"{name}.{s}").reshape(shape) for s in names}
                for state, fresh in averages(optimizer, gradient, value, olds).items():
                    key = f"{name}.{state}"
                    if name not in IN_CODES:
                        assert_near(new[key], fresh)
                        continue
                    expected = coded(fresh, key, step, new[key].shape)
                    assert np.array_equal(new[key], expected[0])
                    assert np.array_equal(new[f"{key}_scale"], expected[1])
                if scale is not None:
                    news = {s: decoded(new, f"{name}.{s}").reshape(shape) for s in names}
                    change = direction(optimizer, value, news, new) * (
                        F(0.02) * (1 / scale).astype(F)
                    )
                    limit = 127 if codes.dtype == np.int8 else 2**30 - 1
                    salted = salt_of(5, step, name)
                    assert np.array_equal(after[name], updated_codes(codes, change, limit, salted))


def direction(optimizer, value, states, numbers):
    """What the value goes against, in float32."""
    if isinstance(optimizer, Momentum):
        return states["velocity"]
    mean = states["mean"] / numbers["mean_correction"]
    root = np.sqrt(states["square"] / numbers["square_correction"])
    return mean / (root + F(optimizer.epsilon)) + F(optimizer.weight_decay) * value


def test_states_in_8_bits_are_counted(tmp_path):
    """conv.weight has 72 elements: two blocks of 36, a code an element and a scale a block."""
    whole = odt.compile(tiny.network(), scheme="full", board="host", optimizer=Adam())
    small = odt.compile(
        tiny.network(), scheme="full", board="host", optimizer="adam", state_dtype="int8"
    )
    saved = whole.report["trainable_state_bytes"] - small.report["trainable_state_bytes"]
    assert saved == 2 * (72 * 4 - 72 - 2 * 4)
    states = small.manifest.optimizer_states
    assert (states["conv.weight.mean"].dtype, states["conv.weight.mean"].shape) == ("int8", (2, 36))
    assert states["conv.weight.mean_scale"].shape == (2,)
    assert states["conv.bias.mean"].dtype == "float32"


def test_a_step_that_diverges_leaves_codes_and_numbers(tmp_path):
    model = tiny.network()
    optimizer = Adam(state_dtype="int8")
    compiled = odt.compile(model, scheme="full", board="host", optimizer=optimizer)
    with Session(compiled.save(tmp_path / "p")) as device:
        (x, *_), (y, *_) = samples(3)
        device.train(x, y)
        before = device.parameters() | device.optimizer_states()
        with pytest.raises(odt.OdtError, match="not finite"):
            device.train(x * F(1e30), y)
        after = device.parameters() | device.optimizer_states()
        assert all(np.array_equal(before[name], after[name]) for name in before)
        device.train(x, y)
        assert device.optimizer_states()["mean_correction"] > before["mean_correction"]


def test_a_save_brings_codes_and_numbers_back(tmp_path):
    _, directory = tiny_project(tmp_path / "p", AdamW(state_dtype="int8"), quantized=True)
    x, y = samples(6, np.int8)
    with Session(directory) as device:
        for step in range(3):
            device.train(x[step], y[step])
        device.save()
        losses = [device.train(x[step], y[step]) for step in range(3, 6)]
        device.load()
        assert [device.train(x[step], y[step]) for step in range(3, 6)] == losses


def test_tvms_virtual_machine_computes_the_same_codes():
    shape = ((4, 8), "float32")

    def loss(emit, x, target, value):
        product = emit(relax.op.multiply(x, value))
        return emit(relax.op.sum(emit(relax.op.multiply(product, target))))

    source = tiny.module(dict.fromkeys(("x", "target", "w"), shape), loss)
    step = SparseBackward({"w"}, optimizer=AdamW(state_dtype="int8"))(source)
    generator, values = np.random.default_rng(0), {"beta1": F(0.9), "beta2": F(0.99)}
    for p in step["main"].params:
        of_kind = tuple(map(int, p.ty.shape)), str(p.ty.dtype)
        values.setdefault(p.name, (90 * generator.random(of_kind[0])).astype(of_kind[1]))
    machine = relax.VirtualMachine(
        tvm.compile(relax.get_pipeline("default")(step), target="llvm"), tvm.cpu()
    )
    arguments = [tvm.runtime.tensor(np.asarray(values[p.name])) for p in step["main"].params]
    for ours, theirs in zip(
        tiny.run(step, True, **values), machine["main"](*arguments), strict=True
    ):
        assert np.array_equal(ours.reshape(theirs.shape), theirs.numpy())


@slow
def test_the_device_computes_the_hosts_states(tmp_path):
    x, y = samples(5, np.int8)
    found = []
    for platform in ("host", "baremetal"):
        compiled = odt.compile(
            tiny.network(quantized=True), scheme="full", optimizer=AdamW(state_dtype="int8")
        )
        with Session(compiled.save(tmp_path / platform, platform=platform)) as device:
            losses = [device.train(*one) for one in zip(x, y, strict=True)]
            found.append((losses, device.parameters() | device.optimizer_states()))
    (host_losses, host), (losses, tensors) = found
    assert losses == host_losses
    assert all(np.array_equal(host[name], tensors[name]) for name in host)


def learned(directory, optimizer, x, y):
    """Mean loss of the first and the last pass of ten over the samples."""
    _, directory = tiny_project(directory, optimizer, quantized=True)
    with Session(directory) as device:
        losses = [[device.train(*one) for one in zip(x, y, strict=True)] for _ in range(10)]
    return np.mean(losses[0]), np.mean(losses[-1])


@pytest.mark.parametrize("kind, rate", [pytest.param(Momentum, 0.005, marks=slow), (Adam, 0.003)])
def test_states_in_8_bits_learn_as_those_in_float32(kind, rate, tmp_path):
    x, y = samples(24, np.int8)
    y = np.abs(x.astype(int)).sum((1, 2, 3)).argsort().argsort() // 8  # three classes by size
    start, whole = learned(tmp_path / "p", kind(rate), x, y)
    _, small = learned(tmp_path / "q", kind(rate, state_dtype="int8"), x, y)
    assert whole < 0.7 * start and small < whole + 0.1 * start
