"""A quantized network as C99: which layers, what constants, in what words. The layers themselves are in ``source``."""
