// From reset to main.py. QEMU leaves the size of the heap in RAM, so one image is tried with many.
#include <stdlib.h>
#include <string.h>

#include "py/builtin.h"
#include "py/cstack.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/runtime/gchelper.h"

#define STACK_LIMIT (8192)
#define STACK_PAINTED (32768)
#define PAINT (0xA5A5A5A5)
#define HEAP_SIZE (*(const uint32_t *)0x20100000)
#define HEAP ((char *)0x20200000)
#define CPU_HZ (25000000)
#define SYSTICK ((volatile uint32_t *)0xE000E010)

extern uint32_t _estack, _sidata, _sdata, _edata, _sbss, _ebss;

static volatile uint32_t milliseconds;

MP_NORETURN void exit(int status) {
    register int operation __asm("r0") = 0x18; // semihosting: SYS_EXIT, as an application does or not
    register int reason __asm("r1") = status ? 0x20023 : 0x20026;
    __asm volatile ("bkpt 0xab" : : "r" (operation), "r" (reason) : "memory");
    for (;;) {
    }
}

// --- what the interpreter asks of its hardware

// A byte that has come, -1 without.
int uart_get(int n) {
    return UART(n)->state & 2 ? (int)UART(n)->data : -1;
}

void uart_put(int n, const char *data, size_t size) {
    for (; size; --size) {
        while (UART(n)->state & 1) {
        }
        UART(n)->data = *data++;
    }
}

mp_uint_t mp_hal_stdout_tx_strn(const char *data, size_t size) {
    uart_put(UART_CONSOLE, data, size);
    return size;
}

mp_uint_t mp_hal_ticks_ms(void) {
    return milliseconds;
}

mp_uint_t mp_hal_ticks_us(void) {
    return milliseconds * 1000;
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return milliseconds;
}

void mp_hal_delay_ms(mp_uint_t ms) {
    for (uint32_t start = milliseconds; milliseconds - start < ms;) {
        mp_event_wait_ms(1);
    }
}

void mp_hal_delay_us(mp_uint_t us) {
    mp_hal_delay_ms(us / 1000 + 1);
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

mp_import_stat_t mp_import_stat(const char *path) {
    (void)path;
    return MP_IMPORT_STAT_NO_EXIST;
}

void nlr_jump_fail(void *val) {
    (void)val;
    mp_print_str(&mp_plat_print, "Traceback: nobody catches\n");
    exit(1);
}

// --- start

size_t stack_used(void) {
    uint32_t *lowest = &_estack - STACK_PAINTED / 4;
    while (*lowest == PAINT) {
        ++lowest;
    }
    return (char *)&_estack - (char *)lowest;
}

int main(void) {
    mp_cstack_init_with_top(&_estack, STACK_LIMIT);
    gc_init(HEAP, HEAP + HEAP_SIZE);
    mp_init();
    nlr_buf_t nlr;
    if (nlr_push(&nlr) == 0) {
        mp_import_name(MP_QSTR_main, mp_const_none, MP_OBJ_NEW_SMALL_INT(0));
        nlr_pop();
    } else {
        mp_obj_print_exception(&mp_plat_print, MP_OBJ_FROM_PTR(nlr.ret_val));
    }
    return 1; // a station never ends
}

void Reset_Handler(void) {
    memcpy(&_sdata, &_sidata, (char *)&_edata - (char *)&_sdata);
    memset(&_sbss, 0, (char *)&_ebss - (char *)&_sbss);
    for (uint32_t *p = &_estack - STACK_PAINTED / 4; p < (uint32_t *)__builtin_frame_address(0) - 16; ++p) {
        *p = PAINT;
    }
    for (int n = UART_CONSOLE; n <= UART_NETWORK; ++n) {
        UART(n)->bauddiv = 16;
        UART(n)->ctrl = 3;
    }
    SYSTICK[1] = CPU_HZ / 1000 - 1;
    SYSTICK[0] = 7;
    exit(main());
}

void SysTick_Handler(void) {
    ++milliseconds;
}

void Fault_Handler(void) {
    mp_print_str(&mp_plat_print, "Traceback: the processor has met a fault\n");
    exit(1);
}

const void *const vectors[16] __attribute__((section(".isr_vector"), used)) = {
    &_estack, Reset_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler,
    [15] = SysTick_Handler,
};
