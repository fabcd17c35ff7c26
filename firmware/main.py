# Board, station, for ever.
import board
import tables
from milliamp import station

import tables.model
import tables.profile
import tables.routes
import tables.schemas

station.run(board.make(tables.profile), tables)
