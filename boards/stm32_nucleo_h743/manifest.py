# What is frozen beside the station.
include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821
require("bundle-networking")  # noqa: F821
