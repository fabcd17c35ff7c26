"""`python -m tools.builder [BOARD ...]`: see `image`."""

import sys

from tools.builder.image import main

sys.exit(main())
