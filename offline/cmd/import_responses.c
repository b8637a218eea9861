/*
 * llmcf import-responses: what a batch service answered, into the store. Options only; the work is
 * in offline/recgen/batch.h.
 */
#include "offline/recgen/batch.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    lcf_import_options import;
    lcf_cli_texts files;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    LCF_ROW_DATASET(import.dataset),
    {"requests", "DIR", "What `llmcf export-requests` made", 1, LCF_OPT_TEXT(import.requests),
     LCF_REQUIRED},
    {"out", "DIR", "The store; grows in place", 1, LCF_OPT_TEXT(import.out), LCF_REQUIRED},
    {"cot", .group = 1, LCF_OPT_ALIAS},
    LCF_ROW_JSON(3, "the summary as JSON on stdout"),
    {NULL, "FILE...", .required = true, LCF_OPT_TEXTS(files)},
    {0},
};

static const char DOC[] =
    "Takes the responses of a batch service into the chain-of-thought store."
    "\v"
    "Lines are joined to rows by their custom_id: in any order, from any number of files (plain or "
    "zstd), whole or partial. Rows that have a record keep it, so a file may come twice. Lines "
    "that tell of an error are counted; `llmcf export-requests --skip-in OUT` asks for their rows "
    "again. Candidates are scored and chosen as `llmcf generate` does.\n\n"
    "Reads DATASET, REQUESTS/job.json and FILEs; writes the store OUT, 256 records in a "
    "transaction: killed, the same command goes on.\n\n"
    "Example:\n"
    "  llmcf import-responses --dataset dataset --requests requests \\\n"
    "    --out cot batch_*_output.jsonl";

static lcf_status print_json(const lcf_import_result *r, lcf_err *err)
{
    json_t *json =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "lines", (json_int_t)r->lines_n,
                  "imported", (json_int_t)r->imported_n, "rejected", (json_int_t)r->rejected_n,
                  "present", (json_int_t)r->present_n, "failed", (json_int_t)r->failed_n, "unknown",
                  (json_int_t)r->unknown_n, "malformed", (json_int_t)r->malformed_n,
                  "tokens_generated", (json_int_t)r->tokens_n);
    lcf_status status = lcf_cmd_print_json(json, err);

    json_decref(json);
    return status;
}

static void print_summary(const lcf_import_result *r, const char *out)
{
    fprintf(stderr, "%s: %llu records from %llu lines; %llu rows had one\n", out,
            (unsigned long long)r->imported_n, (unsigned long long)r->lines_n,
            (unsigned long long)r->present_n);
    if (r->rejected_n)
        fprintf(stderr, "  %llu rows without a good candidate\n",
                (unsigned long long)r->rejected_n);
    if (r->failed_n)
        fprintf(stderr, "  %llu errors, the first: %s\n", (unsigned long long)r->failed_n,
                r->failure);
    if (r->malformed_n)
        fprintf(stderr, "  %llu lines are no responses, the first: %s\n",
                (unsigned long long)r->malformed_n, r->malformed);
    if (r->unknown_n)
        fprintf(stderr, "  %llu lines are of no row of this job\n",
                (unsigned long long)r->unknown_n);
}

int lcf_cmd_import_responses(int argc, char **argv)
{
    static const lcf_options options = {"import-responses", DOC, OPTIONS, NULL, NULL};
    arguments a = {.json = false};
    lcf_err err = LCF_ERR_INIT;
    lcf_import_result result;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_stop_install();
    a.import.responses = a.files.list;
    a.import.responses_n = a.files.n;
    if (!status)
        status = lcf_import_responses(&result, &a.import, &err);
    if (!status) {
        print_summary(&result, a.import.out);
        if (a.json)
            status = print_json(&result, &err);
    }
    lcf_cli_texts_dispose(&a.files);
    return lcf_cli_finish("import-responses", status, &err);
}
