/*
 * llmcf generate: chains of thought for a share of the training rows. Options only; the work is in
 * offline/recgen/generate.h.
 */
#include "offline/recgen/generate.h"
#include "offline/recgen/ranks.h"

#include "common/base/file.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/job_options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    lcf_generate_options generate;
    const char *chat; /* NULL: as the model says */
    bool json;
} arguments;

/* The model's chat template: what was asked for, or what its file says. */
static lcf_status choose_chat(arguments *a, lcf_err *err)
{
    lcf_template *chat = &a->generate.prompt.chat;

    if (a->chat)
        return lcf_template_parse(chat, a->chat, err);
    return a->generate.model ? lcf_template_of_file(chat, a->generate.model, err) : LCF_OK;
}

static void take_chat(void *input, char *text, struct argp_state *state)
{
    arguments *a = input;
    lcf_err err = LCF_ERR_INIT;

    a->chat = strcmp(text, "auto") ? text : NULL;
    if (a->chat && choose_chat(a, &err))
        argp_error(state, "--chat-template: %s", err.text);
}

static lcf_status parse_memory(void *bytes_max, const char *text, lcf_err *err)
{
    uint64_t bytes = 0;
    lcf_status status = lcf_bytes_parse(&bytes, text, err);

    if (!status && (!bytes || bytes > SIZE_MAX))
        status = LCF_FAIL(err, LCF_EUSAGE, "%s is out of range", text);
    *(size_t *)bytes_max = (size_t)bytes;
    return status;
}

static lcf_status parse_deadline(void *deadline, const char *text, lcf_err *err)
{
    return lcf_deadline_parse(deadline, text, time(NULL), err);
}

static const lcf_option OPTIONS[] = {
    {"model", "FILE.gguf", "RecGen-LLaMA, or any larger GGUF LLaMA", 1,
     LCF_OPT_TEXT(generate.model)},
    {"out", "DIR", "The store; grows in place", 1, LCF_OPT_TEXT(generate.out), LCF_REQUIRED},
    {"cot", .group = 1, LCF_OPT_ALIAS},
    {"batch", "ROWS", "Rows of one group, committed together (default 8)", 3,
     LCF_OPT_WHOLE(generate.batch_rows, 1, 4096)},
    {"slots", "N",
     "Candidates that are decoded side by side; the records are the same (default 32)", 3,
     LCF_OPT_WHOLE(generate.slots, 1, 4096)},
    {"kv-mem", "SIZE",
     "Memory for keys and values, e.g. 2G; fewer rows at a time where it is short (default: what "
     "the slots can use)",
     3, LCF_OPT_PARSED(generate.kv_bytes_max, parse_memory)},
    LCF_ROW_THREADS(3, "records are", generate.threads),
    {"force", NULL, "Look into the store also when its manifest is up to date", 3,
     LCF_OPT_FLAG(generate.force)},
    LCF_ROW_JSON(3, "the summary as JSON on stdout"),
    {"chat-template", "NAME",
     "How --model wants messages marked: plain, llama2, llama3, chatml, zephyr, mistral, or auto "
     "for what the file says (default auto)",
     2, LCF_OPT_CALL(take_chat)},
    LCF_ROWS_CODES(2, "--prompt-template", generate.codes, generate.prompt.code_form),
    {"endpoint", "URL",
     "Instead of --model: an OpenAI-compatible server such as http://localhost:8000/v1 (vLLM, "
     "SGLang, llama.cpp)",
     4, LCF_OPT_TEXT(generate.endpoint.url)},
    {"api-key-file", "FILE",
     "Its first line is the API key (default: LLMCF_API_KEY in the environment, if any)", 4,
     LCF_OPT_TEXT(generate.endpoint.key_file)},
    {"concurrency", "N", "Requests in flight at a time (default 8)", 4,
     LCF_OPT_WHOLE(generate.endpoint.concurrency, 1, 4096)},
    {"retries", "N",
     "Of one request, after 429, 5xx, cut connections and answers that are none (default 8)", 4,
     LCF_OPT_WHOLE(generate.endpoint.retries_max, 0, 100)},
    {"retry-wait", "SECONDS",
     "Before the first retry; doubles each time, with jitter, and a server's Retry-After wins "
     "(default 0.5)",
     4, LCF_OPT_REAL(generate.endpoint.retry_wait_s, 0.001, 60.0)},
    {"connect-timeout", "SECONDS", "(default 10)", 4,
     LCF_OPT_REAL(generate.endpoint.connect_timeout_s, 0.001, 3600.0)},
    {"timeout", "SECONDS", "Of one request (default 600)", 4,
     LCF_OPT_REAL(generate.endpoint.timeout_s, 0.001, 86400.0)},
    {"max-rows", "N", "Ends well after N rows of this run", 5,
     LCF_OPT_WHOLE(generate.budget.rows_max, 1, INT64_MAX)},
    {"max-total-tokens", "N", "Ends well once this run has generated N tokens", 5,
     LCF_OPT_WHOLE(generate.budget.tokens_max, 1, INT64_MAX)},
    {"deadline", "HH:MM", "Ends well at the next such local time", 5,
     LCF_OPT_PARSED(generate.budget.deadline, parse_deadline)},
    {"min-free-disk", "SIZE", "Ends well when less is free where the store is, e.g. 500M or 20G", 5,
     LCF_OPT_PARSED(generate.budget.free_disk_bytes_min, lcf_cmd_parse_bytes)},
    {LCF_OPT_TABLE(generate, lcf_job_rows)},
    {0},
};

static const char DOC[] =
    "Writes chain-of-thought records: for a share of the training rows, why the user decided as "
    "they did."
    "\v"
    "Each row gets several candidates by sampling, with the known decision in the prompt. They are "
    "scored (coherence, completeness, relevance, consistency; degenerate text counts nothing) and "
    "the best is stored with its score and provenance under the hash of sample, prompt, model and "
    "sampling parameters: what is there is never generated again.\n\n"
    "Reads DATASET and a GGUF model; writes the store OUT (LMDB; schemas/cot_record.md). A group "
    "of "
    "rows is one transaction: kill -9 loses at most the groups in flight, the same command "
    "generates exactly what is missing. SIGTERM finishes the groups in flight and exits with 75.\n"
    "`llmcf store export` prints records.\n\n"
    "A budget (--max-rows, --max-total-tokens, --deadline, --min-free-disk) that is used up ends "
    "the run with exit code 0: what is under way is finished and committed, the next run goes "
    "on. Rows are asked in the order of their prompts, so that those that begin alike share that "
    "work: the first of them are no sample of all, --rows chooses one.\n\n"
    "--shard I/N takes a part of the rows, by the hash of their keys; `llmcf store merge` joins "
    "the stores. Started by mpirun or srun as one of several, each process takes its shard by "
    "itself, writes to OUT/shard-I-of-N and leaves out what OUT already holds.\n\n"
    "With --endpoint the texts come from a server. An answered row is committed before another is "
    "asked for; rows that the server refuses, or does not answer after all retries (exit code 75), "
    "are left for the next run. Redirects are not followed: the API key stays with the address it "
    "was given for, and out of every message.\n\n"
    "Examples:\n"
    "  llmcf generate --dataset dataset --model recgen/recgen.gguf \\\n"
    "    --out cot --share 0.1\n"
    "  llmcf generate --dataset dataset --endpoint http://gpu7:8000/v1 \\\n"
    "    --model-name llama-3.1-8b --template llama2 --concurrency 32 --out cot\n"
    "  mpirun -n 4 llmcf generate --dataset dataset --model m.gguf --out cot\n"
    "  llmcf store merge cot/shard-*-of-4 --cot cot";

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;
    const lcf_generate_options *o = &a->generate;

    if (a->chat && o->endpoint.url)
        argp_error(state, "--chat-template is for --model: a server marks messages itself");
    if (!o->model && !o->endpoint.url)
        argp_error(state, "either --model or --endpoint is needed");
    if (o->model && o->endpoint.url)
        argp_error(state, "--model and --endpoint exclude one another");
    if (o->endpoint.url && !o->endpoint.model_name)
        argp_error(state, "--endpoint needs --model-name");
}

static void print_summary(const lcf_generate_result *r, const char *out)
{
    if (r->current) {
        fprintf(stderr, "%s: up to date, nothing done (--force looks into the store)\n", out);
        return;
    }
    fprintf(
        stderr,
        "%s: %llu rows chosen, %llu present before, %llu generated in %.1f s (%llu tokens, %.0f "
        "per second)\n",
        out, (unsigned long long)r->rows_chosen, (unsigned long long)r->rows_present,
        (unsigned long long)r->rows_generated, r->seconds, (unsigned long long)r->tokens_generated,
        (double)r->tokens_generated / (r->seconds + 1e-9));
    if (r->rows_generated > r->rows_rejected)
        fprintf(stderr, "  mean score %.3f\n", r->score_mean);
    if (r->rows_rejected)
        fprintf(stderr, "  %llu rows without a good candidate\n",
                (unsigned long long)r->rows_rejected);
    if (r->engine.tokens_served)
        fprintf(stderr, "  %llu tokens computed for %llu served: the rest was shared\n",
                (unsigned long long)r->engine.tokens_computed,
                (unsigned long long)r->engine.tokens_served);
    if (r->engine.requests_n)
        fprintf(stderr, "  %llu requests, %llu of them without a good answer\n",
                (unsigned long long)r->engine.requests_n, (unsigned long long)r->engine.failures_n);
    if (r->rows_left)
        fprintf(stderr, "  %s%s%llu rows are left; the same command goes on\n",
                r->budget ? r->budget : "", r->budget ? " is reached: " : "",
                (unsigned long long)r->rows_left);
}

static lcf_status print_json(const lcf_generate_result *r, lcf_err *err)
{
    json_t *score = isfinite(r->score_mean) ? json_real(r->score_mean) : json_null();
    json_t *json = json_pack(
        "{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s?, s:o, s:f}", "current",
        r->current, "rows_chosen", (json_int_t)r->rows_chosen, "rows_present",
        (json_int_t)r->rows_present, "rows_generated", (json_int_t)r->rows_generated,
        "rows_rejected", (json_int_t)r->rows_rejected, "rows_left", (json_int_t)r->rows_left,
        "rows_refused", (json_int_t)r->engine.rows_refused, "requests",
        (json_int_t)r->engine.requests_n, "requests_failed", (json_int_t)r->engine.failures_n,
        "tokens_generated", (json_int_t)r->tokens_generated, "tokens_served",
        (json_int_t)r->engine.tokens_served, "tokens_computed",
        (json_int_t)r->engine.tokens_computed, "budget", r->budget, "score_mean", score, "seconds",
        r->seconds);
    lcf_status status = lcf_cmd_print_json(json, err);

    json_decref(json);
    return status;
}

/* One of several processes that mpirun or srun started takes a shard of its own, in a folder of its
 * own; what the store already holds is not asked for again. *folder: for the caller to free. */
static lcf_status take_place(char **folder, lcf_generate_options *o, lcf_err *err)
{
    char *data = NULL;
    lcf_rank place;
    bool found;
    lcf_status status = o->choice.shards_n ? LCF_OK : lcf_rank_find(&found, &place, err);

    if (status || o->choice.shards_n || !found)
        return status;
    o->choice.shard = place.rank + 1;
    o->choice.shards_n = place.ranks_n;
    *folder = lcf_shard_folder(o->out, o->choice.shard, place.ranks_n);
    data = lcf_path_join(o->out, "data.mdb");
    if (!*folder || !data)
        status = LCF_FAIL(err, LCF_ENOMEM, "folder of the shard");
    else if (!o->skip_in && lcf_path_exists(data))
        o->skip_in = o->out;
    lcf_log(LCF_LOG_INFO, "generate rank %zu of %zu by %s writes to %s", place.rank, place.ranks_n,
            place.launcher, *folder ? *folder : "");
    o->out = *folder;
    free(data);
    return status;
}

int lcf_cmd_generate(int argc, char **argv)
{
    static const lcf_options options = {"generate", DOC, OPTIONS, check, NULL};
    arguments a = {.json = false};
    lcf_err err = LCF_ERR_INIT;
    lcf_generate_result result;
    char *folder = NULL;
    lcf_status status;

    lcf_generate_options_init(&a.generate);
    status = lcf_options_parse(&options, argc, argv, &a, &err);
    lcf_stop_install();
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes fails the write, as a full disk does */
    if (!status)
        status = take_place(&folder, &a.generate, &err);
    if (!status)
        status = choose_chat(&a, &err);
    if (!status)
        status = lcf_generate(&result, &a.generate, &err);
    if (!status) {
        print_summary(&result, a.generate.out);
        if (a.json)
            status = print_json(&result, &err);
    }
    free(folder);
    return lcf_cli_finish("generate", status, &err);
}
