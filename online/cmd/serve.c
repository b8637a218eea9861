/* llmcf-serve: the ranking server. The main thread waits for signals. */
#include "common/base/cli.h"
#include "common/base/progress.h"
#include "online/cmd/service.h"
#include "online/server/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    OPT_SNAPSHOT = 0x100,
    OPT_WATCH,
    OPT_LISTEN,
    OPT_UNIX,
    OPT_THREADS,
    OPT_MAX_BODY,
    OPT_MAX_HEADER,
    OPT_MAX_CANDIDATES,
    OPT_MAX_CONNECTIONS,
    OPT_REQUEST_TIMEOUT,
    OPT_IDLE_TIMEOUT,
    OPT_LINGER,
    OPT_QUEUE,
    OPT_DEADLINE,
    OPT_TOKEN_FILE,
    OPT_USER,
    OPT_EXAMPLE_USERS,
    OPT_REQUEST_LOG,
    OPT_LOG_SHARE,
    OPT_LOG_BYTES,
    OPT_ARMS,
    OPT_SHADOW,
};

static const struct argp_option OPTIONS[] = {
    {"snapshot", OPT_SNAPSHOT, "DIR", 0,
     "A root, whose `current` is watched, or one generation (default snapshots)", 1},
    {"watch", OPT_WATCH, "SECONDS", 0,
     "How often `current` is looked at; 0: only on SIGHUP (default 1)", 1},
    {"listen", OPT_LISTEN, "ADDRESS:PORT", 0,
     "TCP address, e.g. 127.0.0.1:8080 or [::1]:8080; port 0 takes a free one (default "
     "127.0.0.1:8080 when there is no --unix)",
     2},
    {"unix", OPT_UNIX, "PATH", 0, "Unix socket, also or instead", 2},
    {"threads", OPT_THREADS, "N", 0, "Workers (default: the processors)", 2},
    {"max-body", OPT_MAX_BODY, "BYTES", 0, "Of a request; more is 413 (default 1048576)", 3},
    {"max-header", OPT_MAX_HEADER, "BYTES", 0, "Of a request; more is 400 (default 16384)", 3},
    {"max-candidates", OPT_MAX_CANDIDATES, "N", 0, "Of a request; more is 400 (default 2000)", 3},
    {"max-connections", OPT_MAX_CONNECTIONS, "N", 0,
     "Open at a time; more wait to be accepted (default 1000)", 3},
    {"request-timeout", OPT_REQUEST_TIMEOUT, "SECONDS", 0,
     "From the first to the last byte of a request, and again for its answer (default 10)", 3},
    {"idle-timeout", OPT_IDLE_TIMEOUT, "SECONDS", 0,
     "Of a connection between requests (default 60)", 3},
    {"linger", OPT_LINGER, "SECONDS", 0,
     "After SIGTERM open connections may still send a request for so long (default 1)", 3},
    {"queue", OPT_QUEUE, "N", 0, "Requests that wait for a worker; more are 429 (default 256)", 3},
    {"deadline", OPT_DEADLINE, "MS", 0,
     "Of a request that names none in " LCF_TIMEOUT_HEADER ", in milliseconds; a request that "
     "waited longer for a worker is 429 (default 0: none)",
     3},
    {"token-file", OPT_TOKEN_FILE, "FILE", 0,
     "Bearer tokens, one a line, that everything but health asks for", 3},
    {"user", OPT_USER, "NAME", 0,
     "Become this user once the sockets are open and the tokens are read", 3},
    {"example-users", OPT_EXAMPLE_USERS, NULL, 0,
     "Name the users of examples in explanations: they are other people", 3},
    {"arms", OPT_ARMS, "NAME=SHARE,...", 0,
     "Split the users that ask for no arm between arms, by a hash of their id, e.g. "
     "llm-cf=90,backbone=10 (default: the snapshot's default arm for all)",
     4},
    {"shadow", OPT_SHADOW, "ARM=FILE", 0,
     "Let another arm score what is logged, too, when nobody else wants the processor, into a log "
     "of "
     "its own for `llmcf ope --target scores:FILE`",
     4},
    {"request-log", OPT_REQUEST_LOG, "FILE", 0,
     "Append what was asked and shown, a JSON line each (schemas/request_log.md), for `llmcf ope`; "
     "answers then carry X-Request-Id",
     4},
    {"log-share", OPT_LOG_SHARE, "SHARE", 0, "Of the requests that are logged (default 1)", 4},
    {"log-bytes", OPT_LOG_BYTES, "BYTES", 0,
     "A log of that size becomes FILE.1, that one FILE.2, up to FILE.5 (default 268435456)", 4},
    {0},
};

static const char DOC[] =
    "Answers ranking requests over HTTP from a snapshot."
    "\v"
    "  POST /v1/rank      a request as for `llmcf rank` (schemas/rank_request.md)\n"
    "  GET  /v1/snapshot  what answers\n"
    "  POST /v1/explain  the same, and what each score would be without its examples\n"
    "  GET  /          a page for people: choose a user, see the ranking and why\n"
    "  GET  /healthz      200 and the generation, 503 while stopping\n"
    "  GET  /metrics      Prometheus text\n"
    "  /v2/...            Open Inference Protocol: a model is an arm\n"
    "  POST /v1/admin/reload, /v1/admin/snapshot   over the Unix socket only: open the snapshot "
    "again, "
    "serve the generation that is named\n\n"
    "A new `current` is opened and verified beside the running one and put in place between "
    "requests; a damaged one is refused with a log line and the old one keeps serving. SIGHUP "
    "opens it again now. SIGTERM answers what is in flight and exits with 0.\n\n"
    "There is no TLS: bind it to 127.0.0.1 or a Unix socket and put a proxy before it. Under "
    "systemd it "
    "answers on the sockets it is handed (llmcf-serve.socket), says when it is ready, and is "
    "restarted "
    "when it hangs.\n"
    "\nExample:\n"
    "  llmcf serve --snapshot snapshots --listen 127.0.0.1:8080 &\n"
    "  curl -d '{\"user_id\": \"7\", \"candidates\": [\"1\", \"2\"]}' 127.0.0.1:8080/v1/rank";

static error_t parse_limit(int key, char *text, struct argp_state *state, lcf_server_options *o)
{
    switch (key) {
    case OPT_MAX_BODY:
        o->body_bytes_max = lcf_cli_u64(state, "max-body", text, 64, (uint64_t)1 << 30);
        return 0;
    case OPT_MAX_HEADER:
        o->header_bytes_max = lcf_cli_u64(state, "max-header", text, 256, (uint64_t)1 << 20);
        return 0;
    case OPT_MAX_CANDIDATES:
        o->candidates_max = lcf_cli_u64(state, "max-candidates", text, 1, LCF_RANK_CANDIDATES_MAX);
        return 0;
    case OPT_MAX_CONNECTIONS:
        o->connections_max = lcf_cli_u64(state, "max-connections", text, 1, 100000);
        return 0;
    case OPT_REQUEST_TIMEOUT:
        o->request_timeout_s = lcf_cli_f64(state, "request-timeout", text, 0.1, 3600.0);
        return 0;
    case OPT_IDLE_TIMEOUT:
        o->idle_timeout_s = lcf_cli_f64(state, "idle-timeout", text, 0.1, 86400.0);
        return 0;
    case OPT_LINGER:
        o->linger_s = lcf_cli_f64(state, "linger", text, 0.0, 3600.0);
        return 0;
    case OPT_DEADLINE:
        o->deadline_s = (double)lcf_cli_u64(state, "deadline", text, 0, LCF_TIMEOUT_MS_MAX) / 1e3;
        return 0;
    case OPT_QUEUE:
        o->queue_max = lcf_cli_u64(state, "queue", text, 0, 100000);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    lcf_server_options *o = state->input;

    switch (key) {
    case OPT_SNAPSHOT:
        o->snapshot = text;
        return 0;
    case OPT_WATCH:
        o->watch_s = lcf_cli_f64(state, "watch", text, 0.0, 86400.0);
        return 0;
    case OPT_LISTEN:
        o->listen = text;
        return 0;
    case OPT_UNIX:
        o->unix_path = text;
        return 0;
    case OPT_THREADS:
        o->threads = lcf_cli_u64(state, "threads", text, 1, 256);
        return 0;
    case OPT_TOKEN_FILE:
        o->token_file = text;
        return 0;
    case OPT_USER:
        o->user = text;
        return 0;
    case OPT_EXAMPLE_USERS:
        o->example_users = true;
        return 0;
    case OPT_REQUEST_LOG:
        o->request_log = text;
        return 0;
    case OPT_LOG_SHARE:
        o->log_share = lcf_cli_f64(state, "log-share", text, 0.0, 1.0);
        return 0;
    case OPT_ARMS:
        o->arms = text;
        return 0;
    case OPT_SHADOW:
        o->shadow = text;
        return 0;
    case OPT_LOG_BYTES:
        o->log_bytes_max = lcf_cli_u64(state, "log-bytes", text, 4096, INT64_MAX);
        return 0;
    case ARGP_KEY_END:
        if (!o->listen && !o->unix_path && !o->inherited_n)
            o->listen = "127.0.0.1:8080";
        return 0;
    default:
        return parse_limit(key, text, state, o);
    }
}

static void announce(const lcf_server *s, const lcf_server_options *o)
{
    const char *colon = o->listen ? strrchr(o->listen, ':') : NULL;

    if (colon)
        lcf_log(LCF_LOG_INFO, "listening on http://%.*s:%d", (int)(colon - o->listen), o->listen,
                lcf_server_port(s));
    if (o->unix_path)
        lcf_log(LCF_LOG_INFO, "listening on unix:%s", o->unix_path);
    if (o->inherited_n)
        lcf_log(LCF_LOG_INFO, "listening on %zu sockets that were handed over", o->inherited_n);
}

/* What a wait may take, so that whoever watches us hears in time. */
static struct timespec tick(double watchdog_s)
{
    const double s = watchdog_s > 0.0 && watchdog_s < 4.0 ? watchdog_s / 4.0 : 1.0;

    return (struct timespec){(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
}

/* Until SIGTERM or SIGINT. */
static void serve(lcf_server *s, const sigset_t *signals)
{
    const double watchdog_s = lcf_service_watchdog_s();
    const struct timespec wait = tick(watchdog_s);
    uint64_t reload = 0; /* that was asked for and is not over */

    lcf_service_ready();
    for (;;) {
        const int signal_number = sigtimedwait(signals, NULL, &wait);
        bool changed;

        if (signal_number == SIGTERM || signal_number == SIGINT)
            return;
        if (signal_number == SIGHUP) {
            lcf_service_reloading();
            reload = lcf_server_reload(s, true);
        }
        if (reload && lcf_server_reloaded(&changed, s, reload)) {
            lcf_service_ready();
            reload = 0;
        }
        if (watchdog_s > 0.0 && lcf_server_alive(s, watchdog_s / 2.0))
            lcf_service_alive();
    }
}

static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL); /* before any thread: they all inherit it */
}

int main(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    lcf_server_options options = LCF_SERVER_OPTIONS_INIT;
    int inherited[LCF_SERVICE_SOCKETS_MAX];
    lcf_server *server = NULL;
    lcf_err err = LCF_ERR_INIT;
    sigset_t signals;
    lcf_status status;

    lcf_cli_start(argc, argv);
    options.snapshot = "snapshots";
    options.inherited = inherited;
    block_signals(&signals);
    status = lcf_service_sockets(inherited, &options.inherited_n, &err);
    if (!status)
        status = lcf_cli_parse(&argp, "serve", argc, argv, &options, &err);
    if (!status)
        status = lcf_server_start(&server, &options, &err);
    if (!status) {
        announce(server, &options);
        serve(server, &signals);
        lcf_service_stopping();
        lcf_log(LCF_LOG_INFO, "stopping");
        lcf_server_stop(server);
    }
    return lcf_cli_finish("serve", status, &err);
}
