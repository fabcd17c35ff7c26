# An interpreter without a station: `make -C ports/esp32 BOARD_DIR=... FROZEN_MANIFEST=<this file>`. The station is
# build/<board>/romfs.img, written into the partition `romfs`.
include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821
module("main.py", opt=3)  # noqa: F821
