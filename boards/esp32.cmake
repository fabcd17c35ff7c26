# What our ESP32 boards have in common, after MicroPython's own definitions of the chip: a partition table and a
# station. mpconfigboard.cmake of each includes it.

# A charger has no use for Bluetooth, whose controller takes RAM.
list(REMOVE_ITEM SDKCONFIG_DEFAULTS boards/sdkconfig.ble)

file(WRITE ${CMAKE_BINARY_DIR}/sdkconfig.partitions
    "CONFIG_PARTITION_TABLE_CUSTOM=y\n"
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${MICROPY_BOARD_DIR}/partitions.csv\"\n")
list(APPEND SDKCONFIG_DEFAULTS ${CMAKE_BINARY_DIR}/sdkconfig.partitions)

# `make image` writes it. On make's command line FROZEN_MANIFEST names another.
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/../../build/${MICROPY_BOARD}/manifest.py)
