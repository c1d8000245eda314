"""What the ONNX exports share: a program's operations as ONNX nodes, and what float32 makes of their integers."""
