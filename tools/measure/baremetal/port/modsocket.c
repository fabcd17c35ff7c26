// The one TCP connection that there is: QEMU makes it at start, and the bytes come and go over a UART.
#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stream.h"

#define PATIENCE (2000) // looks at the UART before a read ends with what has come

static mp_uint_t socket_read(mp_obj_t self, void *buf, mp_uint_t size, int *error) {
    mp_uint_t got = 0;
    for (int looks = 0; got < size && looks < PATIENCE; ++looks) {
        int c = uart_get(UART_NETWORK);
        if (c >= 0) {
            ((uint8_t *)buf)[got++] = c;
            looks = 0;
        } else if (!got) {
            *error = MP_EAGAIN;
            return MP_STREAM_ERROR;
        }
    }
    return got;
}

static mp_uint_t socket_write(mp_obj_t self, const void *buf, mp_uint_t size, int *error) {
    uart_put(UART_NETWORK, buf, size);
    return size;
}

static mp_uint_t socket_ioctl(mp_obj_t self, mp_uint_t request, uintptr_t flags, int *error) {
    if (request == MP_STREAM_POLL) {
        return flags & (UART(UART_NETWORK)->state & 2 ? MP_STREAM_POLL_RD | MP_STREAM_POLL_WR : MP_STREAM_POLL_WR);
    }
    return 0;
}

static mp_obj_t nothing(size_t count, const mp_obj_t *given) {
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(nothing_obj, 0, nothing);

static const mp_rom_map_elem_t socket_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_setblocking), MP_ROM_PTR(&nothing_obj) },
    { MP_ROM_QSTR(MP_QSTR_setsockopt), MP_ROM_PTR(&nothing_obj) },
    { MP_ROM_QSTR(MP_QSTR_connect), MP_ROM_PTR(&nothing_obj) },
    { MP_ROM_QSTR(MP_QSTR_close), MP_ROM_PTR(&nothing_obj) },
    { MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&mp_stream_read_obj) },
    { MP_ROM_QSTR(MP_QSTR_readinto), MP_ROM_PTR(&mp_stream_readinto_obj) },
    { MP_ROM_QSTR(MP_QSTR_write), MP_ROM_PTR(&mp_stream_write_obj) },
};
static MP_DEFINE_CONST_DICT(socket_locals, socket_locals_table);

static const mp_stream_p_t socket_stream = {
    .read = socket_read,
    .write = socket_write,
    .ioctl = socket_ioctl,
};

static MP_DEFINE_CONST_OBJ_TYPE(
    socket_type, MP_QSTR_socket, MP_TYPE_FLAG_NONE, protocol, &socket_stream, locals_dict, &socket_locals);

static mp_obj_t socket_socket(size_t count, const mp_obj_t *given) {
    return MP_OBJ_FROM_PTR(mp_obj_malloc(mp_obj_base_t, &socket_type));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(socket_socket_obj, 0, socket_socket);

// Whom somebody asks for does not matter: an address is what was asked.
static mp_obj_t socket_getaddrinfo(size_t count, const mp_obj_t *given) {
    mp_obj_t address = mp_obj_new_tuple(count, given);
    return mp_obj_new_tuple(1, &address);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(socket_getaddrinfo_obj, 3, socket_getaddrinfo);

static const mp_rom_map_elem_t socket_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_socket) },
    { MP_ROM_QSTR(MP_QSTR_SOCK_STREAM), MP_ROM_INT(1) },
    { MP_ROM_QSTR(MP_QSTR_getaddrinfo), MP_ROM_PTR(&socket_getaddrinfo_obj) },
    { MP_ROM_QSTR(MP_QSTR_socket), MP_ROM_PTR(&socket_socket_obj) },
};
static MP_DEFINE_CONST_DICT(socket_globals, socket_globals_table);

const mp_obj_module_t socket_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&socket_globals,
};
MP_REGISTER_MODULE(MP_QSTR_socket, socket_module);
