# Board, station, for ever.
import board

import tables
import tables.model
import tables.profile
import tables.routes
import tables.schemas
from milliamp import station

station.run(board.make(tables.profile), tables)
