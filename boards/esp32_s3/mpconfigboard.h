#define MICROPY_HW_BOARD_NAME       "Milliamp on ESP32-S3"
#define MICROPY_HW_MCU_NAME         "ESP32-S3"

// The console is UART0, and USB too.
#define MICROPY_HW_ENABLE_UART_REPL (1)

// A charger has no use for these.
#define MICROPY_PY_BLUETOOTH        (0)
#define MICROPY_PY_ESPNOW           (0)

// The station may come from the ROMFS partition.
#define MICROPY_VFS_ROM             (1)
