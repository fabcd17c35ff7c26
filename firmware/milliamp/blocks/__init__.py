# One module per OCPP functional block, under OCPP's own name.
