"""Formats of adjoints in fewer bits; no TVM is loaded, so that the command line can list them."""

FORMATS = {"bfloat16": "uint16", "float8": "uint8"}  # name -> dtype of the stored bits
