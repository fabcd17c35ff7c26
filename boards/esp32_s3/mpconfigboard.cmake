include(boards/mpconfigboard_esp32s3_common.cmake)
list(APPEND SDKCONFIG_DEFAULTS
    boards/sdkconfig.flash_qio_80m
    ${MICROPY_BOARD_DIR}/sdkconfig.board
)
include(${MICROPY_BOARD_DIR}/../esp32.cmake)
