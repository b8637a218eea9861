/*
 * llmcf export-requests: a generation job as files of requests. Options only; the work is in
 * offline/recgen/batch.h.
 */
#include "offline/recgen/batch.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/job_options.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum { OPT_OUT = 0x100, OPT_MAX_REQUESTS, OPT_MAX_BYTES, OPT_FORCE, OPT_JSON };

static const struct argp_option OPTIONS[] = {
    {"out", OPT_OUT, "DIR", 0, "Where to", 1},
    {"max-requests", OPT_MAX_REQUESTS, "N", 0, "In one file (default 50000)", 3},
    {"max-bytes", OPT_MAX_BYTES, "SIZE", 0, "Of one file, e.g. 100M (default 200M)", 3},
    {"force", OPT_FORCE, NULL, 0, "Write also what is up to date", 3},
    {"json", OPT_JSON, NULL, 0, "Print the summary as JSON on stdout", 3},
    {0},
};

static const char DOC[] =
    "Writes the requests of a generation job in the form of OpenAI's Batch API."
    "\v"
    "For whoever answers whole files: OpenAI's Batch API, vLLM's run-batch. The rows, prompts and "
    "sampling are those of `llmcf generate --endpoint` with the same options, so either goes on "
    "where the other stopped; --skip-in leaves out what a store holds already. Each line's "
    "custom_id is the key of the record that its answer becomes.\n\n"
    "Reads DATASET; writes OUT/requests-00001.jsonl, ... and OUT/job.json "
    "(schemas/requests.md).\n\n"
    "Example:\n"
    "  llmcf export-requests --dataset dataset --model-name llama-3.1-8b \\\n"
    "    --template llama2 --skip-in cot --out requests\n"
    "  vllm run-batch -i requests/requests-00001.jsonl -o responses.jsonl \\\n"
    "    --model llama-3.1-8b\n"
    "  llmcf import-responses --dataset dataset --requests requests \\\n"
    "    --out cot responses.jsonl";

typedef struct arguments {
    lcf_export_options export;
    bool json;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    lcf_export_options *o = &a->export;
    lcf_err err = LCF_ERR_INIT;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->job;
        return 0;
    case OPT_OUT:
        o->job.out = text;
        return 0;
    case OPT_MAX_REQUESTS:
        o->requests_max = (size_t)lcf_cli_u64(state, "max-requests", text, 1, INT32_MAX);
        return 0;
    case OPT_MAX_BYTES:
        if (lcf_bytes_parse(&o->bytes_max, text, &err))
            argp_error(state, "--max-bytes: %s", err.text);
        return 0;
    case OPT_FORCE:
        o->force = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!o->job.dataset || !o->job.out || !o->job.endpoint.model_name)
            argp_error(state, "--dataset, --model-name and --out are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static lcf_status print_json(const lcf_export_result *r, lcf_err *err)
{
    json_t *json = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "current", r->current, "rows_chosen",
                             (json_int_t)r->rows_chosen, "rows_present",
                             (json_int_t)r->rows_present, "requests", (json_int_t)r->requests_n,
                             "files", (json_int_t)r->files_n, "bytes", (json_int_t)r->bytes_n);
    lcf_status status = lcf_cmd_print_json(json, err);

    json_decref(json);
    return status;
}

static void print_summary(const lcf_export_result *r, const char *out)
{
    if (r->current)
        fprintf(stderr, "%s: up to date, nothing done (--force writes it again)\n", out);
    else
        fprintf(stderr, "%s: %llu requests in %llu files; %llu rows had a record\n", out,
                (unsigned long long)r->requests_n, (unsigned long long)r->files_n,
                (unsigned long long)r->rows_present);
}

int lcf_cmd_export_requests(int argc, char **argv)
{
    static const struct argp_child children[] = {{&lcf_cmd_job_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, children, NULL, NULL};
    arguments a = {
        .export = {.requests_max = LCF_EXPORT_REQUESTS_MAX, .bytes_max = LCF_EXPORT_BYTES_MAX}};
    lcf_err err = LCF_ERR_INIT;
    lcf_export_result result;
    lcf_status status;

    lcf_generate_options_init(&a.export.job);
    status = lcf_cli_parse(&argp, "export-requests", argc, argv, &a, &err);
    lcf_stop_install();
    if (!status)
        status = lcf_export_requests(&result, &a.export, &err);
    if (!status) {
        print_summary(&result, a.export.job.out);
        if (a.json)
            status = print_json(&result, &err);
    }
    return lcf_cli_finish("export-requests", status, &err);
}
