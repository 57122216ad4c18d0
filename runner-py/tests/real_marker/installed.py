"""Which generation of marker these tests run with."""

from importlib import metadata

GENERATION = int(metadata.version("marker-pdf").split(".")[0])
PATIENCE = 600  # seconds for what may take minutes on a machine that others use too
