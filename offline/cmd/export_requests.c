/*
 * llmcf export-requests: a generation job as files of requests. Options only; the work is in
 * offline/recgen/batch.h.
 */
#include "offline/recgen/batch.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/job_options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_export_options export;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"out", "DIR", "Where to", 1, LCF_OPT_TEXT(export.job.out), LCF_REQUIRED},
    {"max-requests", "N", "In one file (default 50000)", 3,
     LCF_OPT_WHOLE(export.requests_max, 1, INT32_MAX)},
    {"max-bytes", "SIZE", "Of one file, e.g. 100M (default 200M)", 3,
     LCF_OPT_PARSED(export.bytes_max, lcf_cmd_parse_bytes)},
    {"force", NULL, "Write also what is up to date", 3, LCF_OPT_FLAG(export.force)},
    LCF_ROW_JSON(3, "the summary as JSON on stdout"),
    {LCF_OPT_TABLE(export.job, lcf_job_rows)},
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

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (!a->export.job.endpoint.model_name)
        argp_error(state, "--model-name is needed");
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
    static const lcf_options options = {"export-requests", DOC, OPTIONS, check, NULL};
    arguments a = {
        .export = {.requests_max = LCF_EXPORT_REQUESTS_MAX, .bytes_max = LCF_EXPORT_BYTES_MAX}};
    lcf_err err = LCF_ERR_INIT;
    lcf_export_result result;
    lcf_status status;

    lcf_generate_options_init(&a.export.job);
    status = lcf_options_parse(&options, argc, argv, &a, &err);
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
