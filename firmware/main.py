# Buffers, board, station, for ever. The buffers come first: when the code is there the heap has no holes of their size.
import gc

import tables
import tables.model
import tables.profile
import tables.routes
import tables.schemas

# Garbage that is left for long leaves holes that nothing fits.
gc.threshold(4096)
buffers = bytearray(tables.profile.RECEIVE_BUFFER), bytearray(tables.profile.TRANSMIT_BUFFER)

import board

from milliamp import station

station.run(board.make(tables.profile), tables, buffers)
