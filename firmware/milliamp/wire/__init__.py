# Bytes on the wire: JSON, WebSocket, RPC, the link and the one sender.
