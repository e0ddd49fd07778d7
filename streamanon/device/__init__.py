"""The path of a picture on a GPU: uploaded once, read, covered, downloaded once. By PyTorch, so that the
same code runs, and is compared with the NumPy path, on a CPU. What follows from meshes alone (outlines,
which face is trusted) stays on the host.
"""
