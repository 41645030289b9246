"""`python -m tvm_ondevice_train`: the same as `ondevice-train`."""

import sys

from tvm_ondevice_train.cli import main

sys.exit(main())
