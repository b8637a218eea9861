/* A server in this process and a small client that speaks to it byte by byte. */
#include "tests/unit/server/client.h"

#include "common/base/mem.h"
#include "common/base/progress.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

char *g_dir, *g_root, *g_socket;

int server_setup(void **state)
{
    const world_options options = WORLD_OPTIONS_INIT;
    lcf_publish_result published;
    lcf_err err = LCF_ERR_INIT;

    (void)state;
    lcf_log_set_level(LCF_LOG_ERROR);
    g_dir = test_folder();
    g_root = lcf_path_join(g_dir, "snapshots");
    g_socket = lcf_path_join(g_dir, "s");
    assert_ok(world_write(g_dir, &options, &err), &err);
    assert_ok(world_publish(&published, g_dir, "one", &err), &err);
    return 0;
}

int server_teardown(void **state)
{
    (void)state;
    free(g_root);
    free(g_socket);
    test_folder_remove(g_dir);
    return 0;
}

lcf_server_options options_of_test(void)
{
    lcf_server_options o = LCF_SERVER_OPTIONS_INIT;

    o.snapshot = g_root;
    o.listen = "127.0.0.1:0";
    o.threads = 2;
    o.linger_s = 0.2;
    o.watch_s = 0.0; /* a test says when */
    return o;
}

lcf_server *start(const lcf_server_options *o)
{
    lcf_server *s;
    lcf_err err = LCF_ERR_INIT;

    assert_ok(lcf_server_start(&s, o, &err), &err);
    return s;
}

int connect_tcp(const lcf_server *s)
{
    const struct timeval patience = {20, 0};
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_port = htons((uint16_t)lcf_server_port(s));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

void send_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server has closed: what it said is still to be read */
        text += sent;
        n -= (size_t)sent;
    }
}

/* Reads one response with a Content-Length, byte by byte: pipelined ones must stay in the socket.
 */
reply read_reply(int fd)
{
    reply r = {0, "", LCF_BUF_INIT};
    const char *length;
    size_t n = 0, body_n;
    char c;

    while (n + 1 < sizeof(r.head) && recv(fd, &c, 1, 0) == 1) {
        r.head[n++] = c;
        r.head[n] = '\0';
        if (n >= 4 && !memcmp(r.head + n - 4, "\r\n\r\n", 4))
            break;
    }
    if (sscanf(r.head, "HTTP/1.%*d %d", &r.code) != 1)
        return r;
    length = strcasestr(r.head, "\r\nContent-Length:");
    body_n = length ? strtoul(length + 17, NULL, 10) : 0;
    for (; body_n > 0 && recv(fd, &c, 1, 0) == 1; body_n--)
        lcf_buf_append_char(&r.body, c);
    return r;
}

void send_request(int fd, const char *method, const char *path, const char *body)
{
    lcf_buf text = LCF_BUF_INIT;

    lcf_buf_printf(&text, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", method,
                   path, strlen(body), body);
    send_all(fd, text.data, text.len);
    lcf_buf_dispose(&text);
}

reply ask_fd(int fd, const char *method, const char *path, const char *body)
{
    send_request(fd, method, path, body);
    return read_reply(fd);
}

reply ask(const lcf_server *s, const char *method, const char *path, const char *body)
{
    int fd = connect_tcp(s);
    reply r = ask_fd(fd, method, path, body);

    close(fd);
    return r;
}

reply ask_raw(const lcf_server *s, const char *text)
{
    int fd = connect_tcp(s);
    reply r;

    send_all(fd, text, strlen(text));
    r = read_reply(fd);
    close(fd);
    return r;
}

void expect(reply r, int code, const char *says)
{
    if (r.code != code || !strstr(lcf_buf_text(&r.body), says))
        fail_msg("expected %d %s, got %s%s", code, says, r.head, lcf_buf_text(&r.body));
    lcf_buf_dispose(&r.body);
}
