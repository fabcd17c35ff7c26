#include "boards/NUCLEO_H743ZI2/stm32h7xx_hal_conf.h"
