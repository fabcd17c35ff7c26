// Only what hashlib wants: SHA-1 for the WebSocket handshake, SHA-256 for tokens.
#define MBEDTLS_SHA1_C
#define MBEDTLS_SHA256_C
#define MBEDTLS_SHA256_SMALLER
