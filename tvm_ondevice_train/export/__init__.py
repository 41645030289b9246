"""What a device learned: out as .npz or ONNX, in again from either."""
