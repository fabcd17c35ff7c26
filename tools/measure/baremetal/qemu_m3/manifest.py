# What is frozen beside the station. Streams, events and locks are asyncio's.
include("$(MPY_DIR)/extmod/asyncio")  # noqa: F821
