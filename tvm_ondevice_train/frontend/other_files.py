"""Files that people have and that are not read: what makes one of them that is."""

from __future__ import annotations

from pathlib import Path

_TORCH = (
    "it holds weights, or a pickled module, and not the network's graph; in Python: "
    "model.load_state_dict(torch.load(FILE)); torch.export.save(torch.export.export(model.eval(), "
    '(torch.zeros(1, 3, 32, 32),)), "model.pt2"), with the shape of your input'
)
_KERAS = (
    "it is a Keras model; in Python: model = keras.models.load_model(FILE); "
    'open("model.tflite", "wb").write(tf.lite.TFLiteConverter.from_keras_model(model).convert()), '
    "with an input of batch_size=1"
)
_SAVED_MODEL = (
    'it is TensorFlow\'s SavedModel; in Python: open("model.tflite", "wb").write('
    "tf.lite.TFLiteConverter.from_saved_model(DIRECTORY).convert()), with an input of batch size 1"
)
_DATA = (
    "it is data and no model; a model comes first, and data is for `ondevice-train run --data`, "
    'as numpy.savez("data.npz", x=x, y=y) writes it'
)
_BY_SUFFIX = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".safetensors"), _TORCH),
    **dict.fromkeys((".keras", ".h5", ".hdf5"), _KERAS),
    **dict.fromkeys((".csv", ".npz", ".npy"), _DATA),
    ".pb": _SAVED_MODEL,
}


def advice(path: Path) -> str:
    """What `path`, which cannot be read, is and how it becomes a model that can be."""
    if path.is_dir():
        is_saved_model = (path / "saved_model.pb").is_file()
        return _SAVED_MODEL if is_saved_model else "it is a directory and no model file"
    unknown = f'unknown kind of model "{path.suffix}"; .onnx, .tflite and .pt2 can be read'
    return _BY_SUFFIX.get(path.suffix.lower(), unknown)
