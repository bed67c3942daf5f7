/* SPDX-License-Identifier: ISC */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

#include "tlslib.h"

#define LIBRARY "libtls.so.26"

struct tlslib tlslib;

const char *
tlslib_load(void)
{
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	bool all = true;

	if (lib == NULL)
		return dlerror();
#define X(f) all = all && (tlslib.f = (__typeof__(f) *)dlsym(lib, #f)) != NULL;
	TLSLIB_FUNCTIONS(X)
#undef X
	if (!all)
		return dlerror();
	return tlslib.tls_init() == 0 ? NULL : LIBRARY ": tls_init failed";
}
