/* SPDX-License-Identifier: ISC */
/* Commands to vmd itself: load, log, reload, reset. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "args.h"
#include "chan.h"
#include "client.h"
#include "cmd.h"
#include "imsg.h"
#include "log.h"

/* Send one request that is answered by lines to print, then OK or FAIL. */
static enum cmd_result
request(const struct cmd_env *env, enum ctl_type type, struct ibuf *body,
    int timeout_ms)
{
	struct client_answer a;
	struct client *c;
	enum cmd_result result = CMD_FAILED;
	int error;

	if ((c = client_open(env)) == NULL) {
		ibuf_free(body);
		return CMD_FAILED;
	}
	error = client_send(c, type, -1, body);
	while (error == 0 && (error = client_next(c, &a, timeout_ms)) == 0 &&
	    a.kind == CLIENT_LINE)
		puts(a.text);
	if (error == 0 && a.kind == CLIENT_OK)
		result = CMD_OK;
	else if (error == 0)
		log_warnx("command failed: %s", client_reason(&a));
	client_close(c);
	return result;
}

enum cmd_result
daemon_log(int argc, char **argv, const struct cmd_env *env)
{
	static const char *const levels[] = { "brief", "verbose" };
	struct ibuf *body;
	int level;

	if (cmd_getopt(argc, argv, "") != -1 || argc - optind != 1)
		return CMD_USAGE;
	level = args_keyword(argv[optind], levels, 2, true);
	if (level < 0) {
		log_warnx("unknown argument: %s", argv[optind]);
		return CMD_USAGE;
	}
	body = chan_body();
	if (ibuf_add_n32(body, (uint32_t)level) == -1) {
		log_warn("log");
		ibuf_free(body);
		return CMD_FAILED;
	}
	return request(env, CTL_LOG, body, CLIENT_PROMPT);
}

enum cmd_result
daemon_reload(int argc, char **argv, const struct cmd_env *env)
{
	if (cmd_getopt(argc, argv, "") != -1 || argc != optind)
		return CMD_USAGE;
	return request(env, CTL_RELOAD, NULL, CLIENT_PROMPT);
}

enum cmd_result
daemon_load(int argc, char **argv, const struct cmd_env *env)
{
	char path[VM_PATH_MAX + 1];
	struct ibuf *body;

	if (cmd_getopt(argc, argv, "") != -1 || argc - optind != 1)
		return CMD_USAGE;
	if (args_path(argv[optind], path, sizeof(path)) != 0)
		return CMD_FAILED;
	body = chan_body();
	if (ctl_put_str(body, path) != 0) {
		log_warnx("load: out of memory");
		ibuf_free(body);
		return CMD_FAILED;
	}
	return request(env, CTL_LOAD, body, CLIENT_PROMPT);
}

enum cmd_result
daemon_reset(int argc, char **argv, const struct cmd_env *env)
{
	static const char *const names[] = { "all", "switches", "vms" };
	static const uint32_t bits[] = { CTL_RESET_ALL, CTL_RESET_SWITCHES,
		CTL_RESET_VMS };
	struct ibuf *body;
	int what = 0;

	if (cmd_getopt(argc, argv, "") != -1 || argc - optind > 1)
		return CMD_USAGE;
	if (optind < argc)
		what = args_keyword(argv[optind], names, 3, true);
	if (what < 0) {
		log_warnx("unknown argument: %s", argv[optind]);
		return CMD_USAGE;
	}
	body = chan_body();
	if (ibuf_add_n32(body, bits[what]) == -1) {
		log_warn("reset");
		ibuf_free(body);
		return CMD_FAILED;
	}
	/* VMs may take a while to end. */
	return request(env, CTL_RESET, body, CLIENT_FOREVER);
}
