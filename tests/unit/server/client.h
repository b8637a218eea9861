/*
 * For the tests of the server: a world and its snapshot "one" in a folder, a server over it in this
 * process, and a client that sees every byte.
 */
#ifndef LCF_TESTS_UNIT_SERVER_CLIENT_H
#define LCF_TESTS_UNIT_SERVER_CLIENT_H

#include "tests/unit/test.h"

#include "common/base/str.h"
#include "online/server/server.h"
#include "tests/unit/rank/world.h"

#define RANK "{\"user_id\": \"u2\", \"candidates\": [\"i1\", \"i2\", \"i3\"]}"

extern char *g_dir, *g_root, *g_socket; /* the world, its snapshots, where a Unix socket may be */

int server_setup(void **state);
int server_teardown(void **state);

/* Two threads, any port. */
lcf_server_options options_of_test(void);
lcf_server *start(const lcf_server_options *o);

typedef struct reply {
    int code; /* 0: closed without an answer */
    char head[2048];
    lcf_buf body;
} reply;

int connect_tcp(const lcf_server *s);
void send_all(int fd, const char *text, size_t n);
/* One response with a Content-Length; what follows it stays in the socket. */
reply read_reply(int fd);
void send_request(int fd, const char *method, const char *path, const char *body);
reply ask_fd(int fd, const char *method, const char *path, const char *body);
reply ask(const lcf_server *s, const char *method, const char *path, const char *body);
reply ask_raw(const lcf_server *s, const char *text);
/* Fails unless the code is that one and the body holds that text; disposes of the reply. */
void expect(reply r, int code, const char *says);

#endif
