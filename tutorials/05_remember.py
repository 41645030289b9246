"""A device that remembers: train, lose power, go on, and bring home what was learned.

    python tutorials/05_remember.py [directory]

The device of the first tutorial learns to read digits with its camera mounted sideways. Now its
power fails in the middle of it. RAM is gone; what the device had saved to its flash is not, and
training goes on from there, with the very losses that it would have had. In the end the network
comes home: as an ONNX file with the new weights, which ONNX Runtime runs like any other.

The device is an emulated Cortex-M7. A file, flash.bin in the project, is its flash: it outlives the
emulator as flash outlives power.
"""

import runpy
import sys
from pathlib import Path

import numpy as np
import onnxruntime

import tvm_ondevice_train as odt
from tvm_ondevice_train.device import Session

STEPS = 400
SAVE_EVERY = 50
POWER_FAILS_AFTER = 230  # steps


# 1. The network and its digits are those of the first tutorial: trained on upright ones, quantized
#    to int8 by ONNX Runtime. The device will see turned ones.


def network_and_digits(folder: Path) -> tuple[Path, Path]:
    story = runpy.run_path(str(Path(__file__).with_name("01_train_on_a_microcontroller.py")))
    return story["prepare"](folder)


# 2. Training, until the power fails. Every 50 steps the device saves: parameters, number of steps,
#    learning rate and the seed of its rounding, into the older of two slots of its flash. In a
#    firmware of your own that is `odt_save()`. Cut anywhere, a save leaves the other slot whole.
#    On the command line: `ondevice-train run DIR --data sideways.npz --save-every 50`.


class PowerFailure(Exception):
    pass


def train_until_power_fails(project: Path, data: Path) -> list[float]:
    losses = []

    def watch(step: int, _steps: int, loss: float) -> None:
        losses.append(loss)
        if step == POWER_FAILS_AFTER:
            raise PowerFailure  # which ends the emulator, and all that was in its RAM

    try:
        odt.run_project(project, data, steps=STEPS, save_every=SAVE_EVERY, on_progress=watch)
    except PowerFailure:
        return losses
    raise AssertionError("the power did not fail")


# 3. Power is back. With `resume` the device loads its newest whole image, and training goes on
#    where that was. On the command line: `ondevice-train run DIR --data sideways.npz --resume`.


def go_on(project: Path, data: Path, steps: int) -> dict:
    return odt.run_project(project, data, steps=steps, resume=True, save=True, evaluate=True)


# 4. Home: the ONNX model, with what the device learned in the place of what it came with. On the
#    command line: `ondevice-train export DIR -o learned.onnx`.


def bring_home(project: Path, path: Path) -> onnxruntime.InferenceSession:
    odt.export_project(project, path)
    return onnxruntime.InferenceSession(str(path))


def agreement(project: Path, session: onnxruntime.InferenceSession, x: np.ndarray) -> int:
    """For how many of the images the device and ONNX Runtime give the same digit."""
    name = session.get_inputs()[0].name
    with Session(project) as device:
        device.load()  # it was started anew, and saved its parameters when it ended
        on_device = [device.predict(image).argmax() for image in x]
    at_home = [session.run(None, {name: image[None]})[0].argmax() for image in x]
    return sum(a == b for a, b in zip(on_device, at_home, strict=True))


def main(directory: str = "build/remember") -> dict:
    """Run the whole story in `directory`; returns what it found."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    model, data = network_and_digits(folder)
    compiled = odt.compile(model, scheme="full", board="mps2-an500", learning_rate=0.01)

    print(f"3. {STEPS} steps on turned digits, if nothing happens.")
    whole = odt.run_project(compiled.save(folder / "whole"), data, steps=STEPS)

    print(f"4. The same, saving every {SAVE_EVERY} steps; power fails after {POWER_FAILS_AFTER}.")
    project = compiled.save(folder / "device")
    first = train_until_power_fails(project, data)
    kept = POWER_FAILS_AFTER // SAVE_EVERY * SAVE_EVERY
    print(f"   {(project / 'flash.bin').stat().st_size:,} bytes of flash are what is left.")

    print(f"5. Power is back: the device knows what it knew after {kept} steps, and goes on.")
    second = go_on(project, data, STEPS - kept)
    same = first[:kept] + second["losses"] == whole["losses"]
    print(f"   All {STEPS} losses are those of 3, to the last bit: {same}")
    print(f"   Turned digits that it has not seen: {second['accuracy_after']:.1%} right.")

    print("6. The network comes home as ONNX.")
    session = bring_home(project, folder / "learned.onnx")
    with np.load(data) as arrays:
        x = arrays["x_test"]
    equal = agreement(project, session, x)
    print(f"   ONNX Runtime and the device agree on {equal} of {len(x)} digits.")
    print(f"   {folder / 'learned.onnx'}")
    return {"same": same, "kept": kept, "equal": equal, "count": len(x), **second}


if __name__ == "__main__":
    main(*sys.argv[1:])
