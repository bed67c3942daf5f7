/* SPDX-License-Identifier: ISC */
#ifndef LIB_TLSLIB_H
#define LIB_TLSLIB_H

/*
 * libtls is loaded by the two processes that speak TLS and not linked: all
 * others would carry it, and OpenSSL's libraries with it.
 */
#include <tls.h>

#define TLSLIB_FUNCTIONS(X)         \
	X(tls_init)                 \
	X(tls_config_new)           \
	X(tls_config_free)          \
	X(tls_config_error)         \
	X(tls_config_set_ca_mem)    \
	X(tls_config_set_cert_mem)  \
	X(tls_config_set_key_mem)   \
	X(tls_config_set_crl_mem)   \
	X(tls_config_set_protocols) \
	X(tls_config_verify_client) \
	X(tls_load_file)            \
	X(tls_unload_file)          \
	X(tls_client)               \
	X(tls_server)               \
	X(tls_configure)            \
	X(tls_accept_fds)           \
	X(tls_connect_fds)          \
	X(tls_handshake)            \
	X(tls_peer_cert_subject)    \
	X(tls_read)                 \
	X(tls_write)                \
	X(tls_close)                \
	X(tls_free)                 \
	X(tls_error)

struct tlslib {
#define X(f) __typeof__(f) *f;
	TLSLIB_FUNCTIONS(X)
#undef X
};

extern struct tlslib tlslib;

/* Once, before anything of it is used.  NULL, or why it is not there. */
const char *tlslib_load(void);

#endif
