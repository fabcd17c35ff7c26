// The console is USB: UART0 has no pins left.
#define MICROPY_HW_BOARD_NAME       "Milliamp on ESP32-C3"
#define MICROPY_HW_MCU_NAME         "ESP32-C3"

// A charger has no use for these.
#define MICROPY_PY_BLUETOOTH        (0)
#define MICROPY_PY_ESPNOW           (0)

// The station may come from the ROMFS partition.
#define MICROPY_VFS_ROM             (1)
