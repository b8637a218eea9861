/* llmcf-load: how many requests a second a server answers in time. */
#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "online/load/report.h"
#include "online/load/requests.h"
#include "online/rank/llmcf.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOKEN_BYTES_MAX 4096

enum {
    OPT_TARGET = 0x100,
    OPT_RATE,
    OPT_DURATION,
    OPT_WARM_UP,
    OPT_CONNECTIONS,
    OPT_SEED,
    OPT_REQUESTS,
    OPT_SNAPSHOT,
    OPT_CANDIDATES,
    OPT_DISTINCT,
    OPT_ARM,
    OPT_BINARY,
    OPT_PERCENTILE,
    OPT_LIMIT,
    OPT_SEARCH,
    OPT_TOKEN_FILE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"target", OPT_TARGET, "URL", 0,
     "http://HOST:PORT or unix:PATH (default http://127.0.0.1:8080)", 1},
    {"token-file", OPT_TOKEN_FILE, "FILE", 0, "Bearer token of the server, the first line", 1},
    {"requests", OPT_REQUESTS, "FILE", 0, "Bodies to send, a JSON object a line, in random order",
     2},
    {"snapshot", OPT_SNAPSHOT, "DIR", 0,
     "Draw users and candidates from it instead (default snapshots)", 2},
    {"candidates", OPT_CANDIDATES, "N", 0, "Of a drawn request (default 100)", 2},
    {"distinct", OPT_DISTINCT, "N", 0, "Drawn requests (default 1000)", 2},
    {"arm", OPT_ARM, "NAME", 0, "Of a drawn request (default: the server's choice)", 2},
    {"binary", OPT_BINARY, NULL, 0,
     "Drawn requests and their answers in bytes (schemas/rank_binary.md), not JSON", 2},
    {"rate", OPT_RATE, "N", 0, "Requests a second; with --search, the first one tried (default 50)",
     3},
    {"duration", OPT_DURATION, "SECONDS", 0, "Of a run, warm-up included (default 10)", 3},
    {"warm-up", OPT_WARM_UP, "SECONDS", 0, "Sent and not counted (default 1)", 3},
    {"connections", OPT_CONNECTIONS, "N", 0, "Kept open (default 16)", 3},
    {"seed", OPT_SEED, "N", 0, "Of moments and requests (default 1)", 3},
    {"percentile", OPT_PERCENTILE, "P", 0, "Of the latency that is limited (default 99)", 4},
    {"limit", OPT_LIMIT, "MS", 0, "Of that latency (default 10)", 4},
    {"search", OPT_SEARCH, NULL, 0, "Find the highest rate that keeps the limit, to 3 %", 4},
    {"json", OPT_JSON, NULL, 0, "The report as one JSON object", 5},
    {0},
};

static const char DOC[] =
    "Measures a ranking server under a load that does not wait for it."
    "\v"
    "Requests leave at random moments of the asked rate (Poisson), whether or not earlier ones "
    "were "
    "answered, and the latency of each counts from the moment at which it was due: a server that "
    "stalls is charged with everything it kept waiting. The result is valid when the percentile is "
    "within its limit and every request got a 200; exit code 3 when it is not.\n\n"
    "Examples:\n"
    "  llmcf load --snapshot snapshots --candidates 500 --rate 60\n"
    "  llmcf load --target unix:/run/llmcf.sock --search --json\n"
    "  llmcf load --requests requests.jsonl --duration 600 --rate 20";

typedef struct arguments {
    const char *target, *token_file, *requests;
    size_t connections;
    bool search, json, binary;
    lcf_load_draw draw;
    lcf_load_plan plan;
    lcf_load_terms terms;
} arguments;

static error_t parse_plan(int key, char *text, struct argp_state *state, arguments *a)
{
    switch (key) {
    case OPT_RATE:
        a->plan.rate = lcf_cli_f64(state, "rate", text, 1e-3, 1e7);
        return 0;
    case OPT_DURATION:
        a->plan.duration_s = lcf_cli_f64(state, "duration", text, 0.1, 1e6);
        return 0;
    case OPT_WARM_UP:
        a->plan.warm_up_s = lcf_cli_f64(state, "warm-up", text, 0.0, 1e6);
        return 0;
    case OPT_SEED:
        a->plan.seed = a->draw.seed = lcf_cli_u64(state, "seed", text, 0, UINT64_MAX);
        return 0;
    case OPT_PERCENTILE:
        a->terms.percentile = lcf_cli_f64(state, "percentile", text, 0.0, 100.0);
        return 0;
    case OPT_LIMIT:
        a->terms.limit_ms = lcf_cli_f64(state, "limit", text, 1e-3, 1e6);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_TARGET:
        a->target = text;
        return 0;
    case OPT_TOKEN_FILE:
        a->token_file = text;
        return 0;
    case OPT_REQUESTS:
        a->requests = text;
        return 0;
    case OPT_SNAPSHOT:
        a->draw.snapshot = text;
        return 0;
    case OPT_CANDIDATES:
        a->draw.candidates_n = lcf_cli_u64(state, "candidates", text, 1, LCF_RANK_CANDIDATES_MAX);
        return 0;
    case OPT_DISTINCT:
        a->draw.requests_n = lcf_cli_u64(state, "distinct", text, 1, 1000000);
        return 0;
    case OPT_ARM:
        a->draw.arm = text;
        return 0;
    case OPT_BINARY:
        a->binary = true;
        return 0;
    case OPT_CONNECTIONS:
        a->connections = lcf_cli_u64(state, "connections", text, 1, 10000);
        return 0;
    case OPT_SEARCH:
        a->search = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (a->binary && a->requests)
            argp_error(state, "--binary is for drawn requests; those of --requests are JSON");
        if (a->plan.warm_up_s >= a->plan.duration_s)
            argp_error(state, "--warm-up must be shorter than --duration");
        return 0;
    default:
        return parse_plan(key, text, state, a);
    }
}

static lcf_status read_token(char **out, const char *path, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;

    *out = NULL;
    if (!path)
        return LCF_OK;
    status = lcf_file_read(&text, path, TOKEN_BYTES_MAX, err);
    if (!status) {
        *out = lcf_buf_take(&text);
        (*out)[strcspn(*out, "\r\n")] = '\0';
    }
    lcf_buf_dispose(&text);
    return status;
}

/* One run at the plan's rate, and a line about it. */
static lcf_status run(lcf_load_result *out, lcf_load_client *c, arguments *a, lcf_err *err)
{
    lcf_status status = lcf_load_run(out, c, &a->plan, err);

    if (!status)
        lcf_log(LCF_LOG_INFO, "%.1f a second: p%g %.3f ms, %s", a->plan.rate, a->terms.percentile,
                (double)lcf_histogram_percentile(&out->latency, a->terms.percentile) / 1e6,
                lcf_load_is_valid(out, &a->terms) ? "valid" : "not valid");
    return status;
}

/* Doubles the rate until it is too high (or halves it until it is not), then closes in. The plan
 * ends with the rate of *best. */
static lcf_status search(lcf_load_result *best, lcf_load_client *c, arguments *a, lcf_err *err)
{
    static lcf_load_result tried;
    const struct timespec pause = {0, 300000000};
    double low = 0, high = INFINITY;
    lcf_status status = LCF_OK;

    while (!status && a->plan.rate >= 0.1 && (low == 0 || high > 1.03 * low)) {
        status = run(&tried, c, a, err);
        if (!status && lcf_load_is_valid(&tried, &a->terms)) {
            low = a->plan.rate;
            *best = tried;
        } else if (!status) {
            high = a->plan.rate;
            if (low == 0)
                *best = tried; /* in case that none is valid */
        }
        a->plan.rate = low == 0 ? high / 2 : isinf(high) ? 2 * low : sqrt(low * high);
        (void)nanosleep(&pause, NULL); /* what was given up must leave the server first */
    }
    a->plan.rate = low > 0 ? low : high;
    return status;
}

static lcf_status print(const lcf_load_result *r, const arguments *a, lcf_err *err)
{
    lcf_buf out = LCF_BUF_INIT;
    lcf_status status = LCF_OK;

    if (a->json) {
        lcf_load_report_json(&out, r, &a->plan, &a->terms, a->connections);
        lcf_buf_append_char(&out, '\n');
    } else {
        lcf_load_report(&out, r, &a->plan, &a->terms, a->target, a->connections);
    }
    if (out.status)
        status = LCF_FAIL(err, out.status, "report");
    else if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout))
        status = LCF_FAIL_ERRNO(err, "cannot write to stdout");
    lcf_buf_dispose(&out);
    if (!status && !lcf_load_is_valid(r, &a->terms))
        status = LCF_FAIL(err, LCF_EGATE, "the result is not valid: see the report");
    return status;
}

static lcf_status measure(arguments *a, lcf_err *err)
{
    static lcf_load_result result;
    lcf_load_requests requests = {.list = NULL};
    lcf_load_client *c = NULL;
    char *token = NULL;
    lcf_status status = read_token(&token, a->token_file, err);

    if (!status)
        status = lcf_load_open(&c, a->target, a->connections, err);
    if (!status) {
        const lcf_load_form form = {lcf_load_host(c), "/v1/rank", token, a->binary};

        status = a->requests ? lcf_load_requests_read(&requests, a->requests, &form, err)
                             : lcf_load_requests_draw(&requests, &a->draw, &form, err);
    }
    if (!status) {
        a->plan.requests = requests.list;
        a->plan.requests_n = requests.n;
        status = (a->search ? search : run)(&result, c, a, err);
    }
    if (!status)
        status = print(&result, a, err);
    lcf_load_close(c);
    lcf_load_requests_dispose(&requests);
    free(token);
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {
        .target = "http://127.0.0.1:8080",
        .connections = 16,
        .draw = {"snapshots", 1000, 100, NULL, 1},
        .plan = {.rate = 50, .duration_s = 10, .warm_up_s = 1, .patience_s = 2, .seed = 1},
        .terms = {99, 10}};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    lcf_cli_start(argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    status = lcf_cli_parse(&argp, "load", argc, argv, &a, &err);
    if (!status)
        status = measure(&a, &err);
    return lcf_cli_finish("load", status, &err);
}
