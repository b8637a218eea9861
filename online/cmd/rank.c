/* llmcf-rank: one ranking request, or many, answered from a snapshot. */
#include "common/base/file.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "common/base/str.h"
#include "online/rank/llmcf.h"
#include "online/rank/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_BYTES_MAX ((size_t)16 << 20)

typedef struct arguments {
    const char *snapshot, *request;
    bool lines;
    lcf_wire_options wire;
} arguments;

static const lcf_option OPTIONS[] = {
    {"snapshot", "DIR", "A generation, or a root whose `current` is followed (default snapshots)",
     1, LCF_OPT_TEXT(snapshot)},
    {"request", "FILE", "The request (default: standard input)", 1, LCF_OPT_TEXT(request)},
    {"lines", NULL,
     "One request per line, one answer per line; a line that cannot be answered becomes an error "
     "object",
     2, LCF_OPT_FLAG(lines)},
    {"pretty", NULL, "With line breaks and indentation", 2, LCF_OPT_FLAG(wire.pretty)},
    {"example-users", NULL, "Name the users of examples: they are other people", 2,
     LCF_OPT_FLAG(wire.example_users)},
    {0},
};

static const char DOC[] =
    "Ranks candidates for a user and prints scores in order, as JSON on stdout."
    "\v"
    "The request is a JSON object (schemas/rank_request.md):\n"
    "  candidates  item ids, 1 to 2000\n"
    "  user_id     missing or unknown: an anonymous user\n"
    "  history     item ids, oldest first, in place of the snapshot's\n"
    "  arm, k, top, explain, time, strict  optional\n"
    "  context     {\"field\": \"value\"} of the moment, where the data has such fields\n"
    "  user_features  the same of the user, in place of what the snapshot knows\n"
    "  items       what candidates are that the snapshot does not know, a list of\n"
    "              {\"item_id\", \"title\", \"brand\", \"categories\", \"text\"}\n"
    "Nothing fails for want of an example or a known id: such results are flagged `degraded`.\n\n"
    "Examples:\n"
    "  echo '{\"user_id\": \"7\", \"candidates\": [\"1\", \"2\"], \"explain\": true}' |\n"
    "    llmcf rank --snapshot snapshots --pretty\n"
    "  llmcf rank --snapshot snapshots --lines --request requests.jsonl > answers.jsonl";

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (a->lines && a->wire.pretty)
        argp_error(state, "--lines and --pretty exclude each other");
}

/* Appends the answer to one request to `out`. */
static lcf_status answer(lcf_buf *out, lcf_rank_context *context, lcf_wire_request *wire,
                         const char *text, size_t n, const char *source,
                         const lcf_wire_options *options, lcf_err *err)
{
    lcf_rank_response response;
    lcf_status status = lcf_wire_parse(wire, text, n, source, LCF_RANK_CANDIDATES_MAX, err);

    if (!status)
        status = lcf_rank(&response, context, &wire->request, err);
    if (!status)
        lcf_wire_write(out, &response, options);
    return status;
}

static lcf_status print(lcf_buf *out, lcf_err *err)
{
    if (out->status)
        return LCF_FAIL(err, out->status, "answer");
    if (fwrite(out->data, 1, out->len, stdout) != out->len || fflush(stdout) != 0)
        return LCF_FAIL_ERRNO(err, "cannot write to stdout");
    lcf_buf_reset(out);
    return LCF_OK;
}

static lcf_status read_all(lcf_buf *text, FILE *in, const char *source, lcf_err *err)
{
    char block[1 << 14];
    size_t n;

    while ((n = fread(block, 1, sizeof(block), in)) > 0) {
        lcf_buf_append(text, block, n);
        if (text->len > REQUEST_BYTES_MAX)
            return LCF_FAIL(err, LCF_ELIMIT, "%s has more than %zu bytes", source,
                            REQUEST_BYTES_MAX);
    }
    if (ferror(in))
        return LCF_FAIL_ERRNO(err, "cannot read %s", source);
    return text->status ? LCF_FAIL(err, text->status, "%s", source) : LCF_OK;
}

static lcf_status rank_one(const arguments *a, FILE *in, const char *source,
                           lcf_rank_context *context, lcf_wire_request *wire, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT, out = LCF_BUF_INIT;
    lcf_status status = read_all(&text, in, source, err);

    if (!status)
        status = answer(&out, context, wire, lcf_buf_text(&text), text.len, source, &a->wire, err);
    if (!status && !a->wire.pretty)
        lcf_buf_append_char(&out, '\n');
    if (!status)
        status = print(&out, err);
    lcf_buf_dispose(&text);
    lcf_buf_dispose(&out);
    return status;
}

/* Every line is answered; the first failure is what the program ends with. */
static lcf_status rank_lines(const arguments *a, FILE *in, const char *source,
                             lcf_rank_context *context, lcf_wire_request *wire, lcf_err *err)
{
    lcf_buf out = LCF_BUF_INIT;
    char *line = NULL, name[300];
    size_t capacity = 0, line_n = 0, failed_n = 0;
    lcf_status status = LCF_OK;
    ssize_t n;

    while (!status && (n = getline(&line, &capacity, in)) >= 0) {
        lcf_err line_err = LCF_ERR_INIT;
        snprintf(name, sizeof(name), "%s:%zu", source, ++line_n);
        if (answer(&out, context, wire, line, (size_t)n, name, &a->wire, &line_err)) {
            lcf_wire_write_error(&out, lcf_status_text(line_err.status), line_err.text);
            if (failed_n++ == 0)
                *err = line_err;
        }
        lcf_buf_append_char(&out, '\n');
        status = print(&out, err);
    }
    if (!status && ferror(in))
        status = LCF_FAIL_ERRNO(err, "cannot read %s", source);
    if (!status && failed_n) {
        status = err->status;
        lcf_err_prefix(err, "%zu of %zu requests failed, the first", failed_n, line_n);
    }
    free(line);
    lcf_buf_dispose(&out);
    return status;
}

static lcf_status rank(const arguments *a, lcf_err *err)
{
    const char *source = a->request ? a->request : "stdin";
    lcf_ranker_snapshot *snapshot = NULL;
    lcf_rank_context *context = NULL;
    lcf_wire_request wire;
    FILE *in = a->request ? fopen(a->request, "rbe") : stdin;
    lcf_status status;

    if (!in)
        return LCF_FAIL_ERRNO(err, "cannot open %s", a->request);
    lcf_wire_init(&wire);
    status = lcf_rank_open(&snapshot, a->snapshot, err);
    if (!status)
        status = lcf_rank_context_create(&context, snapshot, err);
    if (!status)
        status = (a->lines ? rank_lines : rank_one)(a, in, source, context, &wire, err);
    lcf_rank_context_free(context);
    lcf_rank_close(snapshot);
    lcf_wire_dispose(&wire);
    if (a->request)
        fclose(in);
    return status;
}

int main(int argc, char **argv)
{
    static const lcf_options options = {"rank", DOC, OPTIONS, check, NULL};
    arguments a = {.snapshot = "snapshots"};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status;

    lcf_cli_start(argc, argv);
    status = lcf_options_parse(&options, argc, argv, &a, &err);
    if (!status)
        status = rank(&a, &err);
    return lcf_cli_finish("rank", status, &err);
}
