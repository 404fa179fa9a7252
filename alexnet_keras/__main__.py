"""`python -m alexnet_keras` is `alexnet-keras`."""

import sys

from alexnet_keras.cli import main

sys.exit(main())
