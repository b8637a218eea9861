/*
 * The open-loop client against a server of one thread that answers as it is told: after a while,
 * after a stall, with another status, or by hanging up.
 */
#include "tests/unit/test.h"

#include "common/base/progress.h"
#include "online/load/client.h"
#include "online/load/report.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int g_listen = -1;
static char g_target[64];
static _Atomic double g_stall_until_s; /* of lcf_clock_s: until then nobody is answered */
static _Atomic int g_every;  /* every so many-th request, from 1, gets g_answer; 0: none */
static const char *g_answer; /* NULL: the connection is closed */
static _Atomic int g_requests;

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"degraded\":\"no\",\"a\":1}"

/* Reads one request of no body; false at the end. */
static bool read_request(int fd)
{
    char text[1024];
    size_t n = 0;

    while (n + 1 < sizeof(text) && recv(fd, text + n, 1, 0) == 1) {
        text[++n] = '\0';
        if (n >= 4 && !memcmp(text + n - 4, "\r\n\r\n", 4))
            return true;
    }
    return false;
}

static void *serve_one(void *arg)
{
    const int fd = (int)(intptr_t)arg;

    while (read_request(fd)) {
        const int n = atomic_fetch_add(&g_requests, 1) + 1;
        const bool odd = g_every && n % g_every == 0;
        const char *answer = odd ? g_answer : OK;

        while (lcf_clock_s() < g_stall_until_s)
            usleep(1000);
        if (!answer || send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
            break;
    }
    close(fd);
    return NULL;
}

static void *serve(void *arg)
{
    int fd;

    (void)arg;
    while ((fd = accept(g_listen, NULL, NULL)) >= 0) {
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd), 0);
        pthread_detach(thread);
    }
    return NULL;
}

static int setup(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    pthread_t thread;

    (void)state;
    lcf_log_set_level(LCF_LOG_ERROR);
    g_listen = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(g_listen >= 0 && !bind(g_listen, (struct sockaddr *)&a, sizeof(a)) &&
                !listen(g_listen, 64) && !getsockname(g_listen, (struct sockaddr *)&a, &n));
    snprintf(g_target, sizeof(g_target), "http://127.0.0.1:%d", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
    pthread_detach(thread);
    return 0;
}

static lcf_load_result *run(const lcf_load_plan *plan, size_t connections_n)
{
    static const lcf_str request = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27};
    static lcf_load_result result;
    lcf_load_plan p = *plan;
    lcf_load_client *c;
    lcf_err err = LCF_ERR_INIT;

    p.requests = &request;
    p.requests_n = 1;
    p.seed = 1;
    p.patience_s = 0.6;
    atomic_store(&g_requests, 0);
    assert_ok(lcf_load_open(&c, g_target, connections_n, &err), &err);
    assert_ok(lcf_load_run(&result, c, &p, &err), &err);
    lcf_load_close(c);
    return &result;
}

static void every_request_is_counted(void **state)
{
    const lcf_load_plan plan = {.rate = 2000, .duration_s = 0.3, .warm_up_s = 0.1};
    const lcf_load_result *r = run(&plan, 4);

    (void)state;
    assert_true(r->sent > 300 && r->sent < 500); /* 400 on average, sd 20 */
    assert_int_equal(r->answered, r->sent);
    assert_int_equal(r->codes[200], r->sent);
    assert_int_equal(r->latency.n, r->sent);
    assert_int_equal(r->failed, 0);
    assert_int_equal(r->degraded, r->sent);
    assert_int_equal(r->bytes, 22 * r->sent);
    assert_true(g_requests > (int)r->sent); /* the warm-up is sent, too */
}

/* A server that answers nothing for a while is charged with all who waited, though it was asked
 * only once meanwhile on its one connection: no coordinated omission. */
static void a_stall_is_charged(void **state)
{
    const lcf_load_plan plan = {.rate = 500, .duration_s = 0.5};
    const lcf_load_result *r;

    (void)state;
    atomic_store(&g_stall_until_s, lcf_clock_s() + 0.25);
    r = run(&plan, 1);
    assert_int_equal(r->answered, r->sent);
    /* Half of the requests were due while it stalled, evenly: their mean wait is 125 ms. */
    assert_true((double)lcf_histogram_percentile(&r->latency, 75) > 60e6);
    assert_true((double)lcf_histogram_percentile(&r->latency, 99) > 200e6);
}

/* What cannot become valid any more is not sent to its end. */
static void a_hopeless_run_ends(void **state)
{
    lcf_load_plan plan = {.rate = 500, .duration_s = 20, .late_ms = 1e-6, .late_max = 20};
    const lcf_load_terms terms = {95, 1e-6};
    const lcf_load_result *r = run(&plan, 4);

    (void)state;
    assert_true(r->sent > 20 && r->sent <= 25); /* and those that were under way */
    assert_int_equal(r->answered, r->sent);
    assert_false(lcf_load_is_valid(r, &terms));
    plan = (lcf_load_plan){.rate = 500, .duration_s = 0.2, .late_ms = 1e4};
    r = run(&plan, 4);
    assert_true(r->sent > 50);
}

static void other_answers_are_told(void **state)
{
    const lcf_load_plan plan = {.rate = 500, .duration_s = 0.4};
    const lcf_load_terms terms = {99, 1e6};
    const lcf_load_result *r;
    lcf_buf out = LCF_BUF_INIT;

    (void)state;
    g_answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    atomic_store(&g_every, 10);
    r = run(&plan, 3);
    assert_int_equal(r->codes[503], r->sent / 10);
    assert_int_equal(r->codes[200] + r->codes[503], r->sent);
    assert_int_equal(r->failed, 0);
    assert_false(lcf_load_is_valid(r, &terms));
    lcf_load_report(&out, r, &plan, &terms, "here", 3);
    assert_non_null(strstr(out.data, "INVALID"));
    assert_non_null(strstr(out.data, "status 503"));
    lcf_buf_dispose(&out);
    g_answer = NULL; /* hangs up */
    r = run(&plan, 3);
    assert_int_equal(r->failed, r->sent / 10);
    assert_int_equal(r->codes[200] + r->failed, r->sent);
    g_answer = "HTTP/1.1 nonsense\r\n\r\n";
    r = run(&plan, 3);
    assert_int_equal(r->failed, r->sent / 10);
    atomic_store(&g_every, 0);
    r = run(&plan, 3);
    assert_true(lcf_load_is_valid(r, &terms));
}

/* What has no answer in the end has failed. */
static void patience_ends(void **state)
{
    const lcf_load_plan plan = {.rate = 100, .duration_s = 0.2};
    const lcf_load_result *r;

    (void)state;
    atomic_store(&g_stall_until_s, lcf_clock_s() + 1.2);
    r = run(&plan, 2);
    assert_true(r->sent > 5);
    assert_int_equal(r->failed, r->sent);
    atomic_store(&g_stall_until_s, 0.0);
}

static void refusals(void **state)
{
    static const char *const targets[] = {"ftp://x", "http://", "http://nohost", "127.0.0.1:80"};
    lcf_load_client *c;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(lcf_load_open(&c, targets[i], 1, &err), LCF_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_counted),
        cmocka_unit_test(a_stall_is_charged),
        cmocka_unit_test(a_hopeless_run_ends),
        cmocka_unit_test(other_answers_are_told),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(refusals),
    };

    return cmocka_run_group_tests_name("load", tests, setup, NULL);
}
