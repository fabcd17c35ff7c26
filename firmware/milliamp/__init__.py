# Milliamp: an OCPP charging station client. `station` composes the rooms; see docs/architecture.md.
