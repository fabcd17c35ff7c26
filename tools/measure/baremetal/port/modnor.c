// A serial NOR chip as a block device of MicroPython: bits only become 0, but for an erase of a sector. It lies in the memory
// that this board has beside the controller's, so it is in no figure.
#include <string.h>

#include "extmod/vfs.h"
#include "py/mperrno.h"
#include "py/runtime.h"

#define CHIP ((uint8_t *)0x21000000)
#define SECTORS (256)
#define SECTOR (4096)

static uint8_t *place(mp_obj_t sector, size_t offset, size_t size) {
    size_t number = mp_obj_get_int(sector);
    if (number >= SECTORS || offset > SECTOR || size > SECTOR - offset) {
        mp_raise_OSError(MP_EINVAL);
    }
    return CHIP + SECTOR * number + offset;
}

static mp_obj_t nor_readblocks(mp_obj_t sector, mp_obj_t into, mp_obj_t offset) {
    mp_buffer_info_t buf;
    mp_get_buffer_raise(into, &buf, MP_BUFFER_WRITE);
    memcpy(buf.buf, place(sector, mp_obj_get_int(offset), buf.len), buf.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(nor_readblocks_obj, nor_readblocks);

static mp_obj_t nor_writeblocks(mp_obj_t sector, mp_obj_t data, mp_obj_t offset) {
    mp_buffer_info_t buf;
    mp_get_buffer_raise(data, &buf, MP_BUFFER_READ);
    uint8_t *to = place(sector, mp_obj_get_int(offset), buf.len);
    for (size_t i = 0; i < buf.len; ++i) {
        to[i] &= ((uint8_t *)buf.buf)[i];
    }
    if (memcmp(to, buf.buf, buf.len) != 0) {
        mp_raise_OSError(MP_EIO);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(nor_writeblocks_obj, nor_writeblocks);

static mp_obj_t nor_ioctl(mp_obj_t operation, mp_obj_t sector) {
    switch (mp_obj_get_int(operation)) {
        case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
            return MP_OBJ_NEW_SMALL_INT(SECTORS);
        case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
            return MP_OBJ_NEW_SMALL_INT(SECTOR);
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE:
            memset(place(sector, 0, SECTOR), 0xFF, SECTOR);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(nor_ioctl_obj, nor_ioctl);

// A chip from the factory.
static mp_obj_t nor___init__(void) {
    memset(CHIP, 0xFF, SECTORS * SECTOR);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(nor___init___obj, nor___init__);

static const mp_rom_map_elem_t nor_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_nor) },
    { MP_ROM_QSTR(MP_QSTR___init__), MP_ROM_PTR(&nor___init___obj) },
    { MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&nor_readblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&nor_writeblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&nor_ioctl_obj) },
};
static MP_DEFINE_CONST_DICT(nor_globals, nor_globals_table);

const mp_obj_module_t nor_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&nor_globals,
};
MP_REGISTER_MODULE(MP_QSTR_nor, nor_module);
