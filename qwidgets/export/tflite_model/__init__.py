"""A quantized network as a TFLite model: its operators, its tensors of bytes, its file."""
