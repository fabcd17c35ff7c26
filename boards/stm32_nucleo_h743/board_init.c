#include "boards/NUCLEO_H743ZI2/board_init.c"
