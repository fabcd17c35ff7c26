#include "boards/NUCLEO_H743ZI2/mpconfigboard.h"

#undef MICROPY_HW_BOARD_NAME
#define MICROPY_HW_BOARD_NAME       "Milliamp on NUCLEO_H743ZI2"

// The blue button is a charger's own: as MicroPython's USRSW, held at power-up, it would make the file system anew
// (ports/stm32/boardctrl.c), and with it goes what the factory wrote.
#undef MICROPY_HW_HAS_SWITCH
#define MICROPY_HW_HAS_SWITCH       (0)

// SPI3 (PB3, PB4, PB5), the flash chip, and USART2 (PD5, PD6), the meter, are as there. The card reader:
#define MICROPY_HW_SPI4_SCK         (pin_E2)
#define MICROPY_HW_SPI4_MISO        (pin_E5)
#define MICROPY_HW_SPI4_MOSI        (pin_E6)
