"""The trained networks of mini: safetensors, one ONNX file, and a manifest with the SHA-256 of each."""
