"""The trained networks of mini-2d: safetensors, and a manifest with the SHA-256 of each."""
