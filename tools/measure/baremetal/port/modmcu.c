// What board.py asks of the controller: bytes from the console, random ones, how much stack was used, the end. The names are
// those that MicroPython has somewhere: the build shortens all others.
#include <stdlib.h>

#include "py/mphal.h"
#include "py/runtime.h"

static mp_obj_t mcu_read(void) {
    return MP_OBJ_NEW_SMALL_INT(uart_get(UART_CONSOLE));
}
static MP_DEFINE_CONST_FUN_OBJ_0(mcu_read_obj, mcu_read);

static mp_obj_t mcu_stack_use(void) {
    return mp_obj_new_int(stack_used());
}
static MP_DEFINE_CONST_FUN_OBJ_0(mcu_stack_use_obj, mcu_stack_use);

// The same in each run: nothing here is secret.
static mp_obj_t mcu_urandom(mp_obj_t n) {
    static uint32_t state = 1;
    vstr_t bytes;
    vstr_init_len(&bytes, mp_obj_get_int(n));
    for (size_t i = 0; i < bytes.len; ++i) {
        state = state * 1664525 + 1013904223;
        bytes.buf[i] = state >> 24;
    }
    return mp_obj_new_bytes_from_vstr(&bytes);
}
static MP_DEFINE_CONST_FUN_OBJ_1(mcu_urandom_obj, mcu_urandom);

static mp_obj_t mcu_exit(mp_obj_t status) {
    exit(mp_obj_get_int(status));
}
static MP_DEFINE_CONST_FUN_OBJ_1(mcu_exit_obj, mcu_exit);

static const mp_rom_map_elem_t mcu_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_mcu) },
    { MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&mcu_read_obj) },
    { MP_ROM_QSTR(MP_QSTR_stack_use), MP_ROM_PTR(&mcu_stack_use_obj) },
    { MP_ROM_QSTR(MP_QSTR_urandom), MP_ROM_PTR(&mcu_urandom_obj) },
    { MP_ROM_QSTR(MP_QSTR_exit), MP_ROM_PTR(&mcu_exit_obj) },
};
static MP_DEFINE_CONST_DICT(mcu_globals, mcu_globals_table);

const mp_obj_module_t mcu_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&mcu_globals,
};
MP_REGISTER_MODULE(MP_QSTR_mcu, mcu_module);
