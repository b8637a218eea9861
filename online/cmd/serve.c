/* llmcf-serve: the ranking server. The main thread waits for signals. */
#include "common/base/options.h"
#include "common/base/progress.h"
#include "online/cmd/service.h"
#include "online/server/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef lcf_server_options arguments;

static lcf_status parse_deadline(void *seconds, const char *text, lcf_err *err)
{
    uint64_t ms;

    if (!lcf_parse_u64(text, strlen(text), &ms) || ms > LCF_TIMEOUT_MS_MAX)
        return LCF_FAIL(err, LCF_EUSAGE, "takes milliseconds from 0 to %d, not '%s'",
                        (int)LCF_TIMEOUT_MS_MAX, text);
    *(double *)seconds = (double)ms / 1e3;
    return LCF_OK;
}

static const lcf_option OPTIONS[] = {
    {"snapshot", "DIR", "A root, whose `current` is watched, or one generation (default snapshots)",
     1, LCF_OPT_TEXT(snapshot)},
    {"watch", "SECONDS", "How often `current` is looked at; 0: only on SIGHUP (default 1)", 1,
     LCF_OPT_REAL(watch_s, 0.0, 86400.0)},
    {"listen", "ADDRESS:PORT",
     "TCP address, e.g. 127.0.0.1:8080 or [::1]:8080; port 0 takes a free one (default "
     "127.0.0.1:8080 when there is no --unix)",
     2, LCF_OPT_TEXT(listen)},
    {"unix", "PATH", "Unix socket, also or instead", 2, LCF_OPT_TEXT(unix_path)},
    {"threads", "N", "Workers (default: the processors)", 2, LCF_OPT_WHOLE(threads, 1, 256)},
    {"max-body", "BYTES", "Of a request; more is 413 (default 1048576)", 3,
     LCF_OPT_WHOLE(body_bytes_max, 64, (uint64_t)1 << 30)},
    {"max-header", "BYTES", "Of a request; more is 400 (default 16384)", 3,
     LCF_OPT_WHOLE(header_bytes_max, 256, (uint64_t)1 << 20)},
    {"max-candidates", "N", "Of a request; more is 400 (default 2000)", 3,
     LCF_OPT_WHOLE(candidates_max, 1, LCF_RANK_CANDIDATES_MAX)},
    {"max-connections", "N", "Open at a time; more wait to be accepted (default 1000)", 3,
     LCF_OPT_WHOLE(connections_max, 1, 100000)},
    {"request-timeout", "SECONDS",
     "From the first to the last byte of a request, and again for its answer (default 10)", 3,
     LCF_OPT_REAL(request_timeout_s, 0.1, 3600.0)},
    {"idle-timeout", "SECONDS", "Of a connection between requests (default 60)", 3,
     LCF_OPT_REAL(idle_timeout_s, 0.1, 86400.0)},
    {"linger", "SECONDS",
     "After SIGTERM open connections may still send a request for so long (default 1)", 3,
     LCF_OPT_REAL(linger_s, 0.0, 3600.0)},
    {"queue", "N", "Requests that wait for a worker; more are 429 (default 256)", 3,
     LCF_OPT_WHOLE(queue_max, 0, 100000)},
    {"deadline", "MS",
     "Of a request that names none in " LCF_TIMEOUT_HEADER
     ", in milliseconds; a request that waited longer for a worker is 429 (default 0: none)",
     3, LCF_OPT_PARSED(deadline_s, parse_deadline)},
    {"token-file", "FILE", "Bearer tokens, one a line, that everything but health asks for", 3,
     LCF_OPT_TEXT(token_file)},
    {"user", "NAME", "Become this user once the sockets are open and the tokens are read", 3,
     LCF_OPT_TEXT(user)},
    {"example-users", NULL, "Name the users of examples in explanations: they are other people", 3,
     LCF_OPT_FLAG(example_users)},
    {"arms", "NAME=SHARE,...",
     "Split the users that ask for no arm between arms, by a hash of their id, e.g. "
     "llm-cf=90,backbone=10 (default: the snapshot's default arm for all)",
     4, LCF_OPT_TEXT(arms)},
    {"shadow", "ARM=FILE",
     "Let another arm score what is logged, too, when nobody else wants the processor, into a log "
     "of its own for `llmcf ope --target scores:FILE`",
     4, LCF_OPT_TEXT(shadow)},
    {"request-log", "FILE",
     "Append what was asked and shown, a JSON line each (schemas/request_log.md), for `llmcf ope`; "
     "answers then carry X-Request-Id",
     4, LCF_OPT_TEXT(request_log)},
    {"log-share", "SHARE", "Of the requests that are logged (default 1)", 4,
     LCF_OPT_REAL(log_share, 0.0, 1.0)},
    {"log-bytes", "BYTES",
     "A log of that size becomes FILE.1, that one FILE.2, up to FILE.5 (default 268435456)", 4,
     LCF_OPT_WHOLE(log_bytes_max, 4096, INT64_MAX)},
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
    static const lcf_options table = {"serve", DOC, OPTIONS, NULL, NULL};
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
        status = lcf_options_parse(&table, argc, argv, &options, &err);
    if (!options.listen && !options.unix_path && !options.inherited_n)
        options.listen = "127.0.0.1:8080";
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
