/* SPDX-License-Identifier: ISC */
/* vmctl key: press keys of a VM's keyboard. */
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "chan.h"
#include "client.h"
#include "cmd.h"
#include "imsg.h"
#include "keyname.h"
#include "log.h"

#define KEY_NS 20000000L /* from one key to the next: a BIOS keeps only 15 */

/* All of them are keys; false after saying which is not. */
static bool
all_known(char **word, bool text)
{
	uint32_t key[SCREEN_KEYS_MAX], n;
	const char *c;

	for (; *word != NULL; word++) {
		if (!text && keyname_parse(*word, key, &n) != 0) {
			log_warnx("unknown key: %s", *word);
			return false;
		}
		for (c = *word; text && *c != '\0'; c++) {
			if (keyname_char(*c, key, &n) != 0) {
				log_warnx(
				    "no key for a character of: %s", *word);
				return false;
			}
		}
	}
	return true;
}

static int
send_keys(
    struct client *c, const struct target *t, const uint32_t *key, uint32_t n)
{
	static const struct timespec pause = { 0, KEY_NS };
	struct ibuf *body = chan_body();
	struct ctl_target to = { .id = t->id };
	struct client_answer a;

	snprintf(to.name, sizeof(to.name), "%s", t->name);
	if (ctl_target_put(body, &to) != 0 ||
	    screen_put_keys(body, key, n) != 0) {
		ibuf_free(body);
		log_warnx("out of memory");
		return -1;
	}
	if (client_send(c, CTL_KEY, -1, body) != 0 ||
	    client_next(c, &a, CLIENT_PROMPT) != 0)
		return -1;
	if (a.kind != CLIENT_OK) {
		log_warnx("key command failed: %s", client_reason(&a));
		return -1;
	}
	nanosleep(&pause, NULL);
	return 0;
}

static int
send_word(struct client *c, const struct target *t, const char *word, bool text)
{
	uint32_t key[SCREEN_KEYS_MAX], n;

	if (!text) {
		keyname_parse(word, key, &n);
		return send_keys(c, t, key, n);
	}
	for (; *word != '\0'; word++) {
		keyname_char(*word, key, &n);
		if (send_keys(c, t, key, n) != 0)
			return -1;
	}
	return 0;
}

enum cmd_result
key_run(int argc, char **argv, const struct cmd_env *env)
{
	enum cmd_result result = CMD_OK;
	struct target target;
	struct client *c;
	bool text = false;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "t")) != -1) {
		if (ch != 't')
			return CMD_USAGE;
		text = true;
	}
	argv += optind;
	if (argc - optind < 2)
		return CMD_USAGE;
	if (args_target(*argv++, &target) != 0 || !all_known(argv, text) ||
	    (c = client_open(env)) == NULL)
		return CMD_FAILED;
	for (; *argv != NULL && result == CMD_OK; argv++) {
		if (send_word(c, &target, *argv, text) != 0)
			result = CMD_FAILED;
	}
	client_close(c);
	return result;
}
