"""`python -m tools.builder.profile BOARD`: checks a profile."""

import sys

from tools.builder.profile.reader import main

sys.exit(main())
