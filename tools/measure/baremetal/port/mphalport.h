// What the port's own files share: the UARTs of the board, and how much stack was ever used.
#include <stdint.h>

typedef struct {
    uint32_t data, state, ctrl, intstatus, bauddiv;
} uart_t;

#define UART(n) ((volatile uart_t *)(0x40004000 + 0x1000 * (n)))
#define UART_CONSOLE (0)
#define UART_NETWORK (1)

int uart_get(int n);
void uart_put(int n, const char *data, size_t size);
size_t stack_used(void);

static inline void mp_hal_set_interrupt_char(int c) {
    (void)c;
}
