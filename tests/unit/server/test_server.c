/* The server in this process, spoken to over real sockets: answers, refusals, limits, deadlines,
 * reload under load, drain. */
#include "tests/unit/server/client.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/progress.h"
#include "online/rank/wire_binary.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* ---- tests ---- */

static void answers(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    reply r = ask(s, "POST", "/v1/rank", RANK);
    lcf_err err = LCF_ERR_INIT;
    json_t *json = NULL;

    (void)state;
    assert_int_equal(r.code, 200);
    assert_non_null(strstr(r.head, "Content-Type: application/json"));
    assert_ok(lcf_json_parse(&json, r.body.data, r.body.len, "answer", &err), &err);
    assert_string_equal(json_string_value(json_object_get(json, "generation")), "one");
    assert_int_equal(json_array_size(json_object_get(json, "results")), 3);
    json_decref(json);
    lcf_buf_dispose(&r.body);
    expect(ask(s, "GET", "/healthz", ""), 200, "\"status\":\"ok\"");
    expect(ask(s, "HEAD", "/healthz?x=1", ""), 200, "");
    expect(ask(s, "GET", "/v1/snapshot", ""), 200,
           "\"arms\":[\"din\",\"din-ict\"],\"default_arm\":\"din-ict\",\"reloads\":0");
    r = ask(s, "GET", "/metrics", "");
    assert_non_null(strstr(r.head, "text/plain; version=0.0.4"));
    assert_non_null(strstr(r.body.data, "llmcf_http_requests_total{code=\"200\"} 4\n"));
    assert_non_null(strstr(r.body.data, "llmcf_rank_duration_seconds_count 1\n"));
    assert_non_null(strstr(r.body.data, "llmcf_rank_candidates_total 3\n"));
    assert_non_null(strstr(r.body.data, "llmcf_snapshot_info{generation=\"one\","));
    lcf_buf_dispose(&r.body);
    lcf_server_stop(s);
}

/* In bytes, and what the answer is in is asked for apart. */
static void speaks_in_bytes(void **state)
{
    static const char *const candidates[] = {"i1", "i2", "i3"};
    const lcf_rank_request request = {.user_id = "u2", .candidates = candidates, .candidates_n = 3};
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    lcf_buf bytes = LCF_BUF_INIT, text = LCF_BUF_INIT;
    lcf_err err = LCF_ERR_INIT;
    int fd = connect_tcp(s);
    reply r;

    (void)state;
    assert_ok(lcf_wire_write_request_binary(&bytes, &request, &err), &err);
    for (int binary = 0; binary < 2; binary++) {
        lcf_buf_reset(&text);
        lcf_buf_printf(&text,
                       "POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n%s"
                       "Content-Length: %zu\r\n\r\n",
                       LCF_WIRE_BINARY_TYPE, binary ? "Accept: " LCF_WIRE_BINARY_TYPE "\r\n" : "",
                       bytes.len);
        lcf_buf_append(&text, bytes.data, bytes.len);
        send_all(fd, text.data, text.len);
        r = read_reply(fd);
        assert_int_equal(r.code, 200);
        if (binary) {
            assert_non_null(strstr(r.head, "Content-Type: " LCF_WIRE_BINARY_TYPE));
            assert_memory_equal(r.body.data, "LCFR\1\0\0\0\3\0\0\0", 12);
            assert_int_equal(r.body.len, 32 + 3 * 12 + sizeof("one") + sizeof("din-ict"));
            lcf_buf_dispose(&r.body);
        } else {
            expect(r, 200, "\"results\":[{");
        }
    }
    bytes.data[4] = 9;
    lcf_buf_reset(&text);
    lcf_buf_printf(&text,
                   "POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   LCF_WIRE_BINARY_TYPE, bytes.len);
    lcf_buf_append(&text, bytes.data, bytes.len);
    send_all(fd, text.data, text.len);
    expect(read_reply(fd), 400, "version 9, this program reads 1");
    close(fd);
    lcf_buf_dispose(&bytes);
    lcf_buf_dispose(&text);
    lcf_server_stop(s);
}

static void degraded_answers(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);

    (void)state;
    expect(ask(s, "POST", "/v1/rank", "{\"user_id\": \"nobody\", \"candidates\": [\"nothing\"]}"),
           200, "\"degraded\":\"unknown_item\"");
    expect(ask(s, "GET", "/metrics", ""), 200,
           "llmcf_degraded_requests_total{reason=\"unknown_user\"} 1\n");
    lcf_server_stop(s);
}

/* What follows a request whose end is not plain is no request. */
static void expect_closed(const lcf_server *s, const char *text)
{
    int fd = connect_tcp(s);

    send_all(fd, text, strlen(text));
    expect(read_reply(fd), 400, "");
    assert_int_equal(read_reply(fd).code, 0);
    close(fd);
}

static void refusals(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s;

    (void)state;
    o.candidates_max = 2;
    s = start(&o);
    expect(ask(s, "POST", "/v1/rank", RANK), 400, "3 items; 1 to 2");
    expect(ask(s, "POST", "/v1/rank", "{\"candidates\": [\"a\""), 400, "not valid JSON");
    expect(ask(s, "POST", "/v1/rank", ""), 400, "not valid JSON");
    expect(ask(s, "POST", "/v1/rank", "{\"candidates\": [\"a\"], \"arm\": \"b\"}"), 400,
           "no arm \\\"b\\\"");
    expect(ask(s, "GET", "/v1/rank", ""), 405, "Allow");
    expect(ask(s, "POST", "/healthz", ""), 405, "Allow");
    expect(ask(s, "DELETE", "/metrics", ""), 405, "Allow");
    expect(ask(s, "GET", "/nowhere", ""), 404, "POST /v1/rank");
    expect(ask(s, "POST", "/v1/rank/", RANK), 404, "POST /v1/rank");
    expect(ask_raw(s, "POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                      "Content-Length: 5\r\n\r\nhello"),
           400, "one Content-Length");
    expect(ask_raw(s, "POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello"), 400,
           "one Content-Length");
    expect_closed(s, "POST /v1/rank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"
                     "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_closed(s, "POST /v1/rank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                     "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_closed(s, "POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                     "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_closed(s, "HEAD /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n\r\n"
                     "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_closed(s, "TRACE /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(ask_raw(s, "POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"), 400, "");
    expect(ask_raw(s, "nonsense\r\n\r\n"), 400, "");
    expect(ask(s, "GET", "/healthz", ""), 200, "ok"); /* and it lives */
    lcf_server_stop(s);
}

static void limits(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s;
    char *large = lcf_alloc(100001, 1);

    (void)state;
    memset(large, ' ', 100000);
    large[100000] = '\0';
    o.body_bytes_max = 1000;
    o.header_bytes_max = 1000;
    s = start(&o);
    large[1001] = '\0';
    expect(ask(s, "POST", "/v1/rank", large), 413, "more than 1000 bytes");
    large[1001] = ' ';
    expect(ask(s, "POST", "/v1/rank", large), 413, "");
    memset(large, 'x', 2000);
    memcpy(large, "GET /healthz HTTP/1.1\r\nX: ", 26);
    memcpy(large + 1990, "\r\n\r\n", 5);
    expect(ask_raw(s, large), 400, "");
    expect(ask(s, "POST", "/v1/rank", RANK), 200, "results");
    lcf_server_stop(s);
    free(large);
}

static void connections_are_kept(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    int fd = connect_tcp(s);

    (void)state;
    for (int i = 0; i < 5; i++)
        expect(ask_fd(fd, "POST", "/v1/rank", RANK), 200, "results");
    expect(ask_fd(fd, "POST", "/v1/rank", "{"), 400, "not valid JSON");
    expect(ask_fd(fd, "GET", "/healthz", ""), 200, "ok");
    /* Two requests in one packet. */
    const char *two = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
                      "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n";
    send_all(fd, two, strlen(two));
    expect(read_reply(fd), 200, "ok");
    expect(read_reply(fd), 404, "not_found");
    close(fd);
    lcf_server_stop(s);
}

/* The server's end of a client's connection, for it lives in this process, too. */
static int other_end(int fd)
{
    struct sockaddr_in mine, peer;
    socklen_t n = sizeof(mine);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&mine, &n), 0);
    for (int other = 0; other < 1024; other++) {
        n = sizeof(peer);
        if (other != fd && !getpeername(other, (struct sockaddr *)&peer, &n) &&
            peer.sin_family == AF_INET && peer.sin_port == mine.sin_port)
            return other;
    }
    fail_msg("nobody is at the other end");
    return -1;
}

/* The end of a long answer does not wait for the client to acknowledge its beginning. */
static void answers_do_not_wait(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    int fd = connect_tcp(s), no_delay = 0;
    socklen_t n = sizeof(no_delay);

    (void)state;
    expect(ask_fd(fd, "POST", "/v1/rank", RANK), 200, "results");
    assert_int_equal(getsockopt(other_end(fd), IPPROTO_TCP, TCP_NODELAY, &no_delay, &n), 0);
    assert_int_not_equal(no_delay, 0);
    close(fd);
    lcf_server_stop(s);
}

/* An answer to HEAD is its head: what follows on the connection is the next one. */
static void head_has_no_body(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    int fd = connect_tcp(s);
    reply r;

    (void)state;
    for (int i = 0; i < 2; i++) {
        send_request(fd, "HEAD", i ? "/nothing" : "/healthz", "");
        send_request(fd, "GET", "/healthz", "");
        expect(read_reply(fd), i ? 404 : 200, "");
        expect(read_reply(fd), 200, "\"status\":\"ok\"");
    }
    close(fd);
    r = ask_raw(s, "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"); /* of no length: it ends it */
    assert_int_equal(r.code, 404);
    assert_non_null(strstr(r.head, "Connection: close\r\n"));
    lcf_buf_dispose(&r.body);
    lcf_server_stop(s);
}

/* A client that drips bytes is cut off, however often it sends one; one that is idle between
 * requests is not. */
static void slow_clients_are_cut_off(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s;
    double start_s = lcf_clock_s();
    int fd, idle;
    char c;

    (void)state;
    o.request_timeout_s = 0.4;
    s = start(&o);
    fd = connect_tcp(s);
    idle = connect_tcp(s);
    expect(ask_fd(idle, "GET", "/healthz", ""), 200, "ok");
    send_all(fd, "POST /v1/rank HTTP/1.1\r\nX: ", strlen("POST /v1/rank HTTP/1.1\r\nX: "));
    while (recv(fd, &c, 1, MSG_DONTWAIT) < 0 && lcf_clock_s() - start_s < 10.0) {
        send_all(fd, "x", 1);
        usleep(50000);
    }
    assert_true(lcf_clock_s() - start_s > 0.3);
    assert_true(lcf_clock_s() - start_s < 5.0);
    expect(ask_fd(idle, "GET", "/metrics", ""), 200, "llmcf_deadline_closed_total 1\n");
    close(fd);
    close(idle);
    lcf_server_stop(s);
}

static void speaks_over_a_unix_socket(void **state)
{
    lcf_server_options o = options_of_test();
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    lcf_server *s, *second = NULL;
    lcf_err err = LCF_ERR_INIT;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    o.listen = NULL;
    o.unix_path = g_socket;
    s = start(&o);
    assert_int_equal(lcf_server_port(s), 0);
    assert_int_equal(lcf_server_start(&second, &o, &err), LCF_EBUSY);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", g_socket);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    expect(ask_fd(fd, "POST", "/v1/rank", RANK), 200, "results");
    close(fd);
    lcf_server_stop(s);
    assert_false(lcf_path_exists(g_socket));

    /* A socket that a dead server left is taken over; a file of somebody's is not. */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    close(fd);
    lcf_server_stop(start(&o));
    assert_ok(lcf_file_write(g_socket, "x", 1, &err), &err);
    assert_int_equal(lcf_server_start(&second, &o, &err), LCF_EEXIST);
    assert_int_equal(unlink(g_socket), 0);
}

static void addresses_that_cannot_be(void **state)
{
    lcf_server_options o = options_of_test();
    char taken[32];
    lcf_server *s = start(&o), *other = NULL;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", lcf_server_port(s));
    o.listen = taken;
    assert_int_equal(lcf_server_start(&other, &o, &err), LCF_EIO);
    o.listen = "localhost";
    assert_int_equal(lcf_server_start(&other, &o, &err), LCF_EINVAL);
    o.listen = NULL;
    assert_int_equal(lcf_server_start(&other, &o, &err), LCF_EINVAL);
    lcf_server_stop(s);
}

/* ---- reload ---- */

typedef struct client {
    pthread_t thread;
    const lcf_server *server;
    _Atomic bool *stop;
    size_t answered, failed;
} client;

static void *ask_on_and_on(void *arg)
{
    client *c = arg;
    int fd = connect_tcp(c->server);

    while (!atomic_load(c->stop)) {
        reply r = ask_fd(fd, "POST", "/v1/rank", RANK);
        if (r.code == 200 && strstr(lcf_buf_text(&r.body), "\"generation\":\""))
            c->answered++;
        else
            c->failed++;
        lcf_buf_dispose(&r.body);
    }
    close(fd);
    return NULL;
}

static void expect_generation(const lcf_server *s, const char *name)
{
    char text[64];

    snprintf(text, sizeof(text), "\"generation\":\"%s\"", name);
    expect(ask(s, "POST", "/v1/rank", RANK), 200, text);
    expect(ask(s, "GET", "/healthz", ""), 200, text);
}

static void reloads_under_load(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    _Atomic bool stop = false;
    client clients[3] = {0};
    lcf_publish_result published;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    expect_generation(s, "one");
    for (size_t i = 0; i < 3; i++) {
        clients[i] = (client){.server = s, .stop = &stop};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, ask_on_and_on, &clients[i]), 0);
    }
    for (int i = 2; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", i);
        assert_false(lcf_server_poll(s, false));
        assert_ok(world_publish(&published, g_dir, name, &err), &err);
        assert_true(lcf_server_poll(s, false));
        expect_generation(s, name);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_true(clients[i].answered > 0);
        assert_int_equal(clients[i].failed, 0);
    }
    expect(ask(s, "GET", "/metrics", ""), 200, "llmcf_reloads_total 3\n");
    lcf_server_stop(s);
}

static void damaged_snapshot_is_refused(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    lcf_publish_result published;
    lcf_err err = LCF_ERR_INIT;
    char *path = lcf_path_join(g_root, "bad/arms/din.lcf");
    char before[64], text[80];
    reply r = ask(s, "GET", "/healthz", "");
    const char *name = strstr(r.body.data, "\"generation\":\"") + 14;

    (void)state;
    snprintf(before, sizeof(before), "%.*s", (int)strcspn(name, "\""), name);
    lcf_buf_dispose(&r.body);
    assert_ok(world_publish(&published, g_dir, "bad", &err), &err);
    assert_int_equal(truncate(path, 5000), 0);
    lcf_log_set_level((lcf_log_level)(LCF_LOG_ERROR + 1));
    assert_false(lcf_server_poll(s, false));
    assert_false(lcf_server_poll(s, false)); /* not tried again and again */
    lcf_log_set_level(LCF_LOG_ERROR);
    snprintf(text, sizeof(text), "\"generation\":\"%s\"", before);
    expect(ask(s, "POST", "/v1/rank", RANK), 200, text);
    expect(ask(s, "GET", "/metrics", ""), 200,
           "llmcf_reloads_refused_total{reason=\"checksum\"} 1\n");
    expect(ask(s, "GET", "/v1/snapshot", ""), 200, "\"refused\":");
    /* Back to the one that answers: nothing is refused any more. */
    assert_ok(lcf_snapshot_rollback(&published, g_root, before, &err), &err);
    assert_false(lcf_server_poll(s, false));
    r = ask(s, "GET", "/v1/snapshot", "");
    assert_null(strstr(r.body.data, "\"refused\":"));
    lcf_buf_dispose(&r.body);
    /* The next good one is taken. */
    assert_ok(world_publish(&published, g_dir, "good", &err), &err);
    assert_true(lcf_server_poll(s, false));
    expect_generation(s, "good");
    lcf_server_stop(s);
    free(path);
}

static void does_not_start_without_a_snapshot(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = NULL;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    o.snapshot = "/nowhere";
    assert_int_equal(lcf_server_start(&s, &o, &err), LCF_ENOENT);
    assert_null(s);
}

/* ---- drain ---- */

static void *finish_late(void *arg)
{
    int fd = *(int *)arg;

    usleep(300000);
    send_all(fd, RANK, strlen(RANK));
    return NULL;
}

static void requests_in_flight_are_answered(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    int busy = connect_tcp(s), idle = connect_tcp(s);
    pthread_t thread;
    char head[128];
    reply r;
    double start_s;

    (void)state;
    expect(ask_fd(idle, "GET", "/healthz", ""), 200, "ok");
    snprintf(head, sizeof(head), "POST /v1/rank HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
             strlen(RANK));
    send_all(busy, head, strlen(head));
    usleep(200000); /* it is being read */
    assert_int_equal(pthread_create(&thread, NULL, finish_late, &busy), 0);
    start_s = lcf_clock_s();
    lcf_server_stop(s);
    assert_true(lcf_clock_s() - start_s < o.request_timeout_s);
    pthread_join(thread, NULL);
    r = read_reply(busy);
    assert_int_equal(r.code, 200);
    assert_non_null(strstr(r.head, "Connection: close"));
    lcf_buf_dispose(&r.body);
    close(busy);
    close(idle);
}

typedef struct persistent {
    pthread_t thread;
    struct sockaddr_in address;
    bool keep_alive;
    size_t answered, lost;
} persistent;

/* Asks until it is refused a connection. */
static void *ask_until_refused(void *arg)
{
    persistent *c = arg;
    int fd = -1;

    for (;;) {
        reply r;

        if (fd < 0) {
            const struct timeval patience = {20, 0};

            fd = socket(AF_INET, SOCK_STREAM, 0);
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
            if (connect(fd, (struct sockaddr *)&c->address, sizeof(c->address)) < 0)
                break;
        }
        r = ask_fd(fd, "POST", "/v1/rank", RANK);
        c->answered += r.code == 200;
        c->lost += r.code != 200;
        if (r.code != 200 || !c->keep_alive || strstr(r.head, "Connection: close")) {
            close(fd);
            fd = -1;
        }
        lcf_buf_dispose(&r.body);
    }
    close(fd);
    return NULL;
}

static void no_request_is_lost(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    persistent clients[6] = {0};
    struct sockaddr_in address = {.sin_family = AF_INET};

    (void)state;
    address.sin_port = htons((uint16_t)lcf_server_port(s));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < 6; i++) {
        clients[i] = (persistent){.address = address, .keep_alive = i % 2};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, ask_until_refused, &clients[i]),
                         0);
    }
    usleep(200000);
    lcf_server_stop(s);
    for (size_t i = 0; i < 6; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_true(clients[i].answered > 0);
        assert_int_equal(clients[i].lost, 0);
    }
}

/* One is answered, the others find no room: told at once, and told when to come back. */
static void a_full_queue_refuses(void **state)
{
    lcf_server_options o = options_of_test();
    bool refused = false;
    int fds[8];
    lcf_server *s;

    (void)state;
    o.threads = 1;
    o.queue_max = 0;
    s = start(&o);
    for (int i = 0; i < 8; i++)
        fds[i] = connect_tcp(s);
    for (int round = 0; round < 100 && !refused; round++) {
        size_t answered = 0;

        for (int i = 0; i < 8; i++)
            send_request(fds[i], "POST", "/v1/rank", RANK);
        for (int i = 0; i < 8; i++) {
            reply r = read_reply(fds[i]);

            answered += r.code == 200;
            if (r.code != 200) {
                assert_non_null(strstr(r.head, "Retry-After: 1\r\n"));
                expect(r, 429, "queue_full");
                refused = true;
            } else {
                lcf_buf_dispose(&r.body);
            }
        }
        assert_true(answered > 0);
    }
    assert_true(refused);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    lcf_server_stop(s);
}

/* The most candidates there may be. */
static void write_largest(lcf_buf *out, int timeout_ms)
{
    lcf_buf body = LCF_BUF_INIT;

    lcf_buf_append_text(&body, "{\"user_id\": \"u2\", \"candidates\": [\"i1\"");
    for (int i = 1; i < 2000; i++)
        lcf_buf_printf(&body, ", \"i%d\"", i % 15 + 1);
    lcf_buf_append_text(&body, "]}");
    lcf_buf_reset(out);
    lcf_buf_printf(out,
                   "POST /v1/rank HTTP/1.1\r\nHost: x\r\n" LCF_TIMEOUT_HEADER
                   ": %d\r\nContent-Length: %zu\r\n\r\n%s",
                   timeout_ms, body.len, body.data);
    lcf_buf_dispose(&body);
}

/* The first takes longer than the others may wait. */
static void late_requests_are_not_answered(void **state)
{
    lcf_server_options o = options_of_test();
    lcf_buf text = LCF_BUF_INIT;
    size_t late = 0;
    int fds[6];
    lcf_server *s;

    (void)state;
    o.threads = 1;
    s = start(&o);
    write_largest(&text, 1);
    for (int i = 0; i < 6; i++) {
        fds[i] = connect_tcp(s);
        send_all(fds[i], text.data, text.len);
    }
    for (int i = 0; i < 6; i++) {
        reply r = read_reply(fds[i]);

        late += r.code == 429 && strstr(lcf_buf_text(&r.body), "\"deadline\"");
        assert_true(r.code == 429 || r.code == 200);
        lcf_buf_dispose(&r.body);
        close(fds[i]);
    }
    assert_true(late > 0);
    lcf_buf_dispose(&text);
    lcf_server_stop(s);
}

/* With too little time for all, some candidates get the backbone's score: flagged and counted. */
static void little_time_degrades(void **state)
{
    static const char COUNTER[] = "llmcf_degraded_results_total{reason=\"deadline\"} ";
    lcf_server_options o = options_of_test();
    lcf_server *s = start(&o);
    lcf_buf text = LCF_BUF_INIT;
    bool degraded = false;
    const char *counter;
    reply metrics;
    int fd = connect_tcp(s);

    (void)state;
    for (int i = 0; i < 400 && !degraded; i++) {
        reply r;

        write_largest(&text, 1 + i % 20);
        send_all(fd, text.data, text.len);
        r = read_reply(fd);
        assert_true(r.code == 429 || r.code == 200);
        degraded = strstr(lcf_buf_text(&r.body), "\"degraded\":\"deadline\"");
        lcf_buf_dispose(&r.body);
    }
    assert_true(degraded);
    metrics = ask_fd(fd, "GET", "/metrics", "");
    counter = strstr(lcf_buf_text(&metrics.body), COUNTER);
    assert_true(counter && strtod(counter + strlen(COUNTER), NULL) > 0);
    lcf_buf_dispose(&metrics.body);
    close(fd);
    lcf_buf_dispose(&text);
    lcf_server_stop(s);
}

static void more_connections_wait(void **state)
{
    lcf_server_options o = options_of_test();
    int fds[6];
    lcf_server *s;

    (void)state;
    o.threads = 1;
    o.connections_max = 2;
    s = start(&o);
    for (int i = 0; i < 6; i++)
        fds[i] = connect_tcp(s);
    for (int i = 0; i < 6; i++) { /* each is served once one before it has gone */
        expect(ask_fd(fds[i], "GET", "/healthz", ""), 200, "ok");
        close(fds[i]);
    }
    lcf_server_stop(s);
}

static _Atomic int g_warnings; /* of libevent */

static void count_warning(int severity, const char *text)
{
    (void)severity;
    (void)text;
    g_warnings++;
}

/* Without descriptors the front waits for some: it does not fail as often as it can. */
static void waits_for_descriptors(void **state)
{
    lcf_server_options o = options_of_test();
    const struct timespec pause = {0, 300000000};
    lcf_server *s = start(&o);
    int fd = connect_tcp(s), late = socket(AF_INET, SOCK_STREAM, 0), spare = dup(late);
    struct rlimit before, none;
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);

    (void)state;
    expect(ask_fd(fd, "GET", "/healthz", ""), 200, "ok");
    assert_int_equal(getpeername(fd, (struct sockaddr *)&address, &n), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    close(spare);
    none = (struct rlimit){(rlim_t)spare, before.rlim_max};
    event_set_log_callback(count_warning);
    lcf_log_set_level((lcf_log_level)(LCF_LOG_ERROR + 1));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(connect(late, (struct sockaddr *)&address, n), 0);
    nanosleep(&pause, NULL);
    expect(ask_fd(fd, "GET", "/healthz", ""), 200, "ok");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect(ask_fd(late, "GET", "/healthz", ""), 200, "ok");
    lcf_log_set_level(LCF_LOG_ERROR);
    event_set_log_callback(NULL);
    assert_int_equal(g_warnings, 0);
    close(late);
    close(fd);
    lcf_server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(speaks_in_bytes),
        cmocka_unit_test(degraded_answers),
        cmocka_unit_test(refusals),
        cmocka_unit_test(limits),
        cmocka_unit_test(connections_are_kept),
        cmocka_unit_test(answers_do_not_wait),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(slow_clients_are_cut_off),
        cmocka_unit_test(speaks_over_a_unix_socket),
        cmocka_unit_test(addresses_that_cannot_be),
        cmocka_unit_test(reloads_under_load),
        cmocka_unit_test(damaged_snapshot_is_refused),
        cmocka_unit_test(does_not_start_without_a_snapshot),
        cmocka_unit_test(requests_in_flight_are_answered),
        cmocka_unit_test(no_request_is_lost),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(late_requests_are_not_answered),
        cmocka_unit_test(little_time_degrades),
        cmocka_unit_test(more_connections_wait),
        cmocka_unit_test(waits_for_descriptors),
    };

    return cmocka_run_group_tests_name("server", tests, server_setup, server_teardown);
}
