# What a charging station does, without a word of JSON or OCPP messages.
