/* llmcf-load: how many requests a second a server answers in time. */
#include "common/base/file.h"
#include "common/base/options.h"
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

#define SEARCH_RATE_MIN 0.1 /* a search goes no lower */
#define TOKEN_BYTES_MAX 4096

typedef struct arguments {
    const char *target, *token_file, *requests;
    size_t connections, samples;
    bool search, json, binary;
    lcf_load_draw draw;
    lcf_load_plan plan;
    lcf_load_terms terms;
} arguments;

static const lcf_option OPTIONS[] = {
    {"target", "URL", "http://HOST:PORT or unix:PATH (default http://127.0.0.1:8080)", 1,
     LCF_OPT_TEXT(target)},
    {"token-file", "FILE", "Bearer token of the server, the first line", 1,
     LCF_OPT_TEXT(token_file)},
    {"requests", "FILE", "Bodies to send, a JSON object a line, in random order", 2,
     LCF_OPT_TEXT(requests)},
    {"snapshot", "DIR", "Draw users and candidates from it instead (default snapshots)", 2,
     LCF_OPT_TEXT(draw.snapshot)},
    {"candidates", "N", "Of a drawn request (default 100)", 2,
     LCF_OPT_WHOLE(draw.candidates_n, 1, LCF_RANK_CANDIDATES_MAX)},
    {"distinct", "N", "Drawn requests (default 1000)", 2,
     LCF_OPT_WHOLE(draw.requests_n, 1, 1000000)},
    {"arm", "NAME", "Of a drawn request (default: the server's choice)", 2, LCF_OPT_TEXT(draw.arm)},
    {"binary", NULL, "Drawn requests and their answers in bytes (schemas/rank_binary.md), not JSON",
     2, LCF_OPT_FLAG(binary)},
    {"rate", "N", "Requests a second; with --search, the first one tried (default 50)", 3,
     LCF_OPT_REAL(plan.rate, 1e-3, 1e7)},
    {"duration", "SECONDS", "Of a run, warm-up included (default 10)", 3,
     LCF_OPT_REAL(plan.duration_s, 0.1, 1e6)},
    {"warm-up", "SECONDS", "Sent and not counted (default 1)", 3,
     LCF_OPT_REAL(plan.warm_up_s, 0.0, 1e6)},
    {"connections", "N", "Kept open (default 16)", 3, LCF_OPT_WHOLE(connections, 1, 10000)},
    {"seed", "N", "Of moments and requests (default 1)", 3,
     LCF_OPT_WHOLE(plan.seed, 0, UINT64_MAX)},
    {"percentile", "P", "Of the latency that is limited (default 99)", 4,
     LCF_OPT_REAL(terms.percentile, 0.0, 100.0)},
    {"limit", "MS", "Of that latency (default 10)", 4, LCF_OPT_REAL(terms.limit_ms, 1e-3, 1e6)},
    {"search", NULL, "Find the highest rate that keeps the limit, to 3 %", 4, LCF_OPT_FLAG(search)},
    {"samples", "N",
     "With --search, requests that count at each rate: where --duration is too short for them, it "
     "is longer (default 500)",
     4, LCF_OPT_WHOLE(samples, 1, 100000000)},
    {"json", NULL, "The report as one JSON object", 5, LCF_OPT_FLAG(json)},
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
    "The p99 of a few requests says little: of 500, five decide it. A search therefore asks for "
    "that many at every rate (--samples), which at 20 a second takes 25 s.\n\n"
    "Examples:\n"
    "  llmcf load --snapshot snapshots --candidates 500 --rate 60\n"
    "  llmcf load --target unix:/run/llmcf.sock --search --json\n"
    "  llmcf load --requests requests.jsonl --duration 600 --rate 20";

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (a->binary && a->requests)
        argp_error(state, "--binary is for drawn requests; those of --requests are JSON");
    if (a->plan.warm_up_s >= a->plan.duration_s)
        argp_error(state, "--warm-up must be shorter than --duration");
    if (a->search && a->plan.rate < SEARCH_RATE_MIN)
        argp_error(state, "--search begins with a --rate of %g or more", SEARCH_RATE_MIN);
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

/* The next rate of a search: it lasts for as many requests that count as are asked for, and ends
 * once too many of them were late, even were there a fifth more of them than expected. */
static void set_rate(arguments *a, double duration_s, double rate)
{
    lcf_load_plan *p = &a->plan;

    p->rate = rate;
    p->duration_s = fmax(duration_s, p->warm_up_s + (double)a->samples / rate);
    p->late_ms = a->terms.limit_ms;
    p->late_max =
        (uint64_t)((1 - a->terms.percentile / 100) * 1.2 * rate * (p->duration_s - p->warm_up_s));
}

/* Doubles the rate until it is too high (or halves it until it is not), then closes in. The plan
 * ends with the rate of *best. */
static lcf_status search(lcf_load_result *best, lcf_load_client *c, arguments *a, lcf_err *err)
{
    static lcf_load_result tried;
    const struct timespec pause = {0, 300000000};
    const double duration_s = a->plan.duration_s;
    double low = 0, high = INFINITY, rate = a->plan.rate;
    lcf_status status = LCF_OK;

    while (!status && rate >= SEARCH_RATE_MIN && (low == 0 || high > 1.03 * low)) {
        set_rate(a, duration_s, rate);
        status = run(&tried, c, a, err);
        if (!status && lcf_load_is_valid(&tried, &a->terms)) {
            low = rate;
            *best = tried;
        } else if (!status) {
            high = rate;
            if (low == 0)
                *best = tried; /* in case that none is valid */
        }
        rate = low == 0 ? high / 2 : isinf(high) ? 2 * low : sqrt(low * high);
        (void)nanosleep(&pause, NULL); /* what was given up must leave the server first */
    }
    set_rate(a, duration_s, low > 0 ? low : high);
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
    static const lcf_options options = {"load", DOC, OPTIONS, check, NULL};
    arguments a = {
        .target = "http://127.0.0.1:8080",
        .connections = 16,
        .samples = 500,
        .draw = {"snapshots", 1000, 100, NULL, 1},
        .plan = {.rate = 50, .duration_s = 10, .warm_up_s = 1, .patience_s = 2, .seed = 1},
        .terms = {99, 10}};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    lcf_cli_start(argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    status = lcf_options_parse(&options, argc, argv, &a, &err);
    a.draw.seed = a.plan.seed;
    if (!status)
        status = measure(&a, &err);
    return lcf_cli_finish("load", status, &err);
}
