// A serial NOR chip, as base.flash describes a device: bits only become 0, but for an erase of a sector. It lies in the
// memory that this board has beside the controller's, so it is in no figure.
#include <string.h>

#include "py/mperrno.h"
#include "py/runtime.h"

#define CHIP ((uint8_t *)0x21000000)
#define SIZE (0x100000)
#define SECTOR (4096)

static uint8_t *place(mp_obj_t address, size_t size) {
    size_t at = mp_obj_get_int(address);
    if (at > SIZE || size > SIZE - at) {
        mp_raise_OSError(MP_EINVAL);
    }
    return CHIP + at;
}

static mp_obj_t nor_read(mp_obj_t address, mp_obj_t into) {
    mp_buffer_info_t buf;
    mp_get_buffer_raise(into, &buf, MP_BUFFER_WRITE);
    memcpy(buf.buf, place(address, buf.len), buf.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(nor_read_obj, nor_read);

static mp_obj_t nor_program(mp_obj_t address, mp_obj_t data) {
    mp_buffer_info_t buf;
    mp_get_buffer_raise(data, &buf, MP_BUFFER_READ);
    uint8_t *to = place(address, buf.len);
    for (size_t i = 0; i < buf.len; ++i) {
        to[i] &= ((uint8_t *)buf.buf)[i];
    }
    if (memcmp(to, buf.buf, buf.len) != 0) {
        mp_raise_OSError(MP_EIO);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(nor_program_obj, nor_program);

static mp_obj_t nor_erase(mp_obj_t address) {
    memset(place(address, SECTOR), 0xFF, SECTOR);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(nor_erase_obj, nor_erase);

// A chip from the factory.
static mp_obj_t nor___init__(void) {
    memset(CHIP, 0xFF, SIZE);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(nor___init___obj, nor___init__);

static const mp_rom_map_elem_t nor_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_nor) },
    { MP_ROM_QSTR(MP_QSTR___init__), MP_ROM_PTR(&nor___init___obj) },
    { MP_ROM_QSTR(MP_QSTR_size), MP_ROM_INT(SIZE) },
    { MP_ROM_QSTR(MP_QSTR_sector), MP_ROM_INT(SECTOR) },
    { MP_ROM_QSTR(MP_QSTR_unit), MP_ROM_INT(1) },
    { MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&nor_read_obj) },
    { MP_ROM_QSTR(MP_QSTR_program), MP_ROM_PTR(&nor_program_obj) },
    { MP_ROM_QSTR(MP_QSTR_erase), MP_ROM_PTR(&nor_erase_obj) },
};
static MP_DEFINE_CONST_DICT(nor_globals, nor_globals_table);

const mp_obj_module_t nor_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&nor_globals,
};
MP_REGISTER_MODULE(MP_QSTR_nor, nor_module);
