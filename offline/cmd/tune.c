/* llmcf tune: a dataset into a RecGen-LLaMA. Options only; the work is in offline/recgen/tune.h. */
#include "offline/recgen/tune.h"

#include "common/base/cli.h"
#include "common/base/progress.h"
#include "offline/cmd/method_options.h"
#include "offline/cmd/mixture_options.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    OPT_DATASET = 0x100,
    OPT_OUT,
    OPT_MODEL,
    OPT_STEPS,
    OPT_MINUTES,
    OPT_BATCH,
    OPT_DIM,
    OPT_LAYERS,
    OPT_HEADS,
    OPT_KV_HEADS,
    OPT_FFN,
    OPT_VOCAB,
    OPT_CONTEXT,
    OPT_TYPE,
    OPT_EVAL_ROWS,
    OPT_CHOICE,
    OPT_CHOICE_ROWS,
    OPT_DRY_RUN,
    OPT_CHECKPOINT,
    OPT_SEED,
    OPT_THREADS,
    OPT_FORCE,
    OPT_REUSE,
    OPT_JSON,
};

static const struct argp_option OPTIONS[] = {
    {"dataset", OPT_DATASET, "DIR", 0, "What `llmcf prepare` made", 1},
    {"out", OPT_OUT, "DIR", 0, "The artefact; replaced in one step", 1},
    {"model", OPT_MODEL, "FILE.gguf", 0, "Go on from this LLaMA (default: a new, small one)", 1},
    {"steps", OPT_STEPS, "N", 0, "Optimizer steps (default 1000)", 2},
    {"minutes", OPT_MINUTES, "M", 0,
     "Make only the steps that fit into so much training time; the result then depends on the "
     "machine",
     2},
    {"batch", OPT_BATCH, "ROWS", 0,
     "Rows of one group (default 8); a step has --accumulate groups in every process", 2},
    {"dim", OPT_DIM, "N", 0, "Width of a new model (default 192)", 3},
    {"layers", OPT_LAYERS, "N", 0, "Layers (default 6)", 3},
    {"heads", OPT_HEADS, "N", 0, "Attention heads (default: dim / 32)", 3},
    {"kv-heads", OPT_KV_HEADS, "N", 0, "Key and value heads (default: half of the heads)", 3},
    {"ffn", OPT_FFN, "N", 0, "Hidden width of the SwiGLU (default: 8/3 dim)", 3},
    {"vocab", OPT_VOCAB, "N", 0, "Pieces of a new vocabulary (default 4096)", 3},
    {"context", OPT_CONTEXT, "TOKENS", 0, "Context of a new model (default 512)", 3},
    {"type", OPT_TYPE, "NAME", 0, "Of the written matrices: f32, f16, bf16 or q8_0 (default f32)",
     3},
    {"eval-rows", OPT_EVAL_ROWS, "N", 0, "Held-out rows for the AUC (default 400)", 4},
    {"choice", OPT_CHOICE, "DIR", 0,
     "Also measure multiple choice, five-shot: a folder with dev/ and val/ as MMLU's", 4},
    {"choice-rows", OPT_CHOICE_ROWS, "N", 0, "Questions, over all subjects (default 0: all)", 4},
    {"checkpoint-every", OPT_CHECKPOINT, "STEPS", 0, "Saved in OUT.work (default 100)", 4},
    {"seed", OPT_SEED, "N", 0, "Of weights, order and wording (default 1)", 4},
    {"threads", OPT_THREADS, "N", 0, "0 takes all processors; the result is the same (default 0)",
     4},
    {"force", OPT_FORCE, NULL, 0, "Start afresh, also when the artefact is up to date", 4},
    {"reuse", OPT_REUSE, NULL, 0,
     "Keep a model that these options made from an earlier dataset, and with it every record that "
     "it "
     "wrote",
     4},
    {"dry-run", OPT_DRY_RUN, NULL, 0,
     "Read the sources, print the mixture's rows, tokens and what the cutoff takes, and stop", 4},
    {"json", OPT_JSON, NULL, 0, "Print the summary as JSON on stdout", 4},
    {0},
};

static const char DOC[] =
    "Tunes RecGen-LLaMA: a language model that answers Yes or No for a user and an item and writes "
    "the reasoning behind a known decision."
    "\v"
    "The rows are a mixture of any number of sources (--source): recommendation instructions and "
    "chain-of-thought targets made from the dataset, and instructions, conversations or plain text "
    "from files. Without a larger model at hand the chain-of-thought "
    "targets are composed from the data (a bootstrap teacher: most loved categories, brands and "
    "items, related items, match, variety, decision); what `llmcf generate` writes later is the "
    "tuned model's own text.\n\n"
    "Reads DATASET and writes OUT/recgen.gguf, report.json (held-out Yes/No AUC, chain-of-thought "
    "perplexity and general perplexity, before and after), manifest.json.\n"
    "Checkpoints are kept in OUT.work; after a stop (SIGTERM: exit code 75) or a crash the same "
    "command goes on and ends with the same bytes.\n\n"
    "With --lora-rank only small matrices beside the chosen ones of --model are trained; OUT then "
    "also holds them, as adapter.gguf (llama.cpp's layout), and recgen.gguf is the merged model. "
    "Started by mpirun, the processes share the groups of every step, and the first one writes: "
    "`mpirun -n 2 llmcf tune --accumulate 1 ...` makes the steps of `llmcf tune --accumulate 2 "
    "...`.\n\n"
    "Example:\n"
    "  llmcf tune --dataset dataset --out recgen --steps 2000 --mix rec=0.8 \\\n"
    "    --source decide --source explain,weight=3 --source alpaca:alpaca.json\n"
    "  llmcf tune --dataset dataset --model base.gguf --out tuned --lora-rank 8";

typedef struct arguments {
    lcf_tune_options tune;
    lcf_mixture_arguments mixture;
    lcf_method_arguments method;
    bool json;
} arguments;

#define SIZE(option, min, max) (size_t) lcf_cli_u64(state, option, text, min, max)

static error_t parse_model(int key, char *text, struct argp_state *state, lcf_tune_options *o)
{
    static const lcf_gguf_type types[] = {LCF_GGUF_F32, LCF_GGUF_F16, LCF_GGUF_BF16, LCF_GGUF_Q8_0};

    switch (key) {
    case OPT_DIM:
        o->dim = SIZE("dim", 8, 16384);
        return 0;
    case OPT_LAYERS:
        o->layers_n = SIZE("layers", 1, 256);
        return 0;
    case OPT_HEADS:
        o->heads_n = SIZE("heads", 1, 256);
        return 0;
    case OPT_KV_HEADS:
        o->kv_heads_n = SIZE("kv-heads", 1, 256);
        return 0;
    case OPT_FFN:
        o->ffn_dim = SIZE("ffn", 8, 65536);
        return 0;
    case OPT_VOCAB:
        o->vocab_n = SIZE("vocab", 300, 200000);
        return 0;
    case OPT_CONTEXT:
        o->context_n = SIZE("context", 64, 131072);
        return 0;
    case OPT_TYPE:
        o->type = types[lcf_cli_choice(state, "type", text, "f32", "f16", "bf16", "q8_0", NULL)];
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_training(int key, char *text, struct argp_state *state, lcf_tune_options *o)
{
    switch (key) {
    case OPT_STEPS:
        o->steps = lcf_cli_u64(state, "steps", text, 1, 1u << 30);
        return 0;
    case OPT_MINUTES:
        o->minutes = lcf_cli_f64(state, "minutes", text, 0.0, 1e6);
        return 0;
    case OPT_BATCH:
        o->batch_rows = SIZE("batch", 1, 65536);
        return 0;
    default:
        return parse_model(key, text, state, o);
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;
    lcf_tune_options *o = &a->tune;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->mixture;
        state->child_inputs[1] = &a->method;
        return 0;
    case OPT_DATASET:
        o->dataset = text;
        return 0;
    case OPT_OUT:
        o->out = text;
        return 0;
    case OPT_MODEL:
        o->base = text;
        return 0;
    case OPT_EVAL_ROWS:
        o->measure.auc_rows = SIZE("eval-rows", 0, 1u << 30);
        return 0;
    case OPT_CHOICE:
        o->measure.choice_dir = text;
        return 0;
    case OPT_CHOICE_ROWS:
        o->measure.choice_rows = SIZE("choice-rows", 0, 1u << 30);
        return 0;
    case OPT_DRY_RUN:
        o->dry_run = true;
        return 0;
    case OPT_CHECKPOINT:
        o->checkpoint_every = lcf_cli_u64(state, "checkpoint-every", text, 1, 1u << 30);
        return 0;
    case OPT_SEED:
        o->seed = lcf_cli_u64(state, "seed", text, 0, INT64_MAX);
        return 0;
    case OPT_THREADS:
        o->threads = SIZE("threads", 0, 1024);
        return 0;
    case OPT_FORCE:
        o->force = true;
        return 0;
    case OPT_REUSE:
        o->reuse = true;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_END:
        if (!o->out || (!o->dataset && !o->sources.n))
            argp_error(state, "--out and --dataset or a --source are needed");
        return 0;
    default:
        return parse_training(key, text, state, o);
    }
}

static void print_measure(const char *name, double before, double after)
{
    if (isfinite(after))
        fprintf(stderr, "  %-22s %10.4f -> %10.4f\n", name, before, after);
}

/* What the model will see, before it is trained. */
static void print_mixture(const json_t *mixture)
{
    const json_t *s;
    size_t i;

    fprintf(stderr, "  %-9s %-8s %6s %9s %8s %10s %8s %9s %7s\n", "source", "group", "share",
            "rows", "held out", "tokens/row", "answer", "truncated", "lost");
    json_array_foreach(mixture, i, s)
    {
        fprintf(stderr, "  %-9s %-8s %6.3f %9lld %8lld %10.1f %8.1f %8.1f%% %6.1f%%\n",
                json_string_value(json_object_get(s, "kind")),
                json_string_value(json_object_get(s, "group")),
                json_number_value(json_object_get(s, "share")),
                (long long)json_integer_value(json_object_get(s, "rows")),
                (long long)json_integer_value(json_object_get(s, "held_out")),
                json_number_value(json_object_get(s, "tokens_per_row")),
                json_number_value(json_object_get(s, "answer_tokens_per_row")),
                100.0 * json_number_value(json_object_get(s, "truncated")),
                100.0 * json_number_value(json_object_get(s, "lost")));
    }
}

static void print_choice(const lcf_tune_result *r)
{
    const lcf_choice_result *after = &r->after.choice;

    if (!after->rows)
        return;
    print_measure("multiple choice", r->before.choice.accuracy, after->accuracy);
    fprintf(stderr, "  %-22s %10.4f .. %.4f (%zu questions, %.1f examples each)\n",
            "  of guessing, 95 %", after->chance_low, after->chance_high, after->rows,
            after->shots);
}

static void print_summary(const lcf_tune_result *r, const char *out)
{
    if (r->current) {
        fprintf(stderr, "%s: %s, nothing done (--force makes it again)\n", out,
                r->reused ? "made from an earlier dataset and kept" : "up to date");
        return;
    }
    fprintf(stderr, "%s: %llu steps, %llu tokens in all, %.0f s in this run\n", out,
            (unsigned long long)r->steps, (unsigned long long)r->tokens, r->seconds);
    print_measure("Yes/No AUC", r->before.auc, r->after.auc);
    print_measure("CoT perplexity", r->before.cot_perplexity, r->after.cot_perplexity);
    print_measure("general perplexity", r->before.general_perplexity, r->after.general_perplexity);
    print_choice(r);
}

static lcf_status print_json(const lcf_tune_result *r, lcf_err *err)
{
    json_t *json = json_pack("{s:b, s:b, s:O?, s:I, s:I, s:f, s:o, s:o}", "current", r->current,
                             "reused", r->reused, "mixture", r->mixture, "steps",
                             (json_int_t)r->steps, "tokens", (json_int_t)r->tokens, "seconds",
                             r->seconds, "before", lcf_recgen_measures_json(&r->before), "after",
                             lcf_recgen_measures_json(&r->after));
    lcf_status status = lcf_cmd_print_json(json, err);

    json_decref(json);
    return status;
}

int lcf_cmd_tune(int argc, char **argv)
{
    static const struct argp_child children[] = {
        {&LCF_MIXTURE_ARGP, 0, "What the model is tuned on:", 5},
        {&LCF_METHOD_ARGP, 0, "How it is tuned:", 6},
        {0}};
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, children, NULL, NULL};
    arguments a = {.json = false};
    lcf_err err = LCF_ERR_INIT;
    lcf_tune_result result = {.mixture = NULL};
    lcf_status status;
    bool first;
    int code;

    lcf_tune_options_init(&a.tune);
    a.mixture = (lcf_mixture_arguments){&a.tune.sources, &a.tune.mixture};
    a.method = (lcf_method_arguments){&a.tune.train, &a.tune.accumulate, &a.tune.adapter};
    status = lcf_cli_parse(&argp, "tune", argc, argv, &a, &err);
    lcf_stop_install();
    if (!status && lcf_comm_wanted())
        status = lcf_comm_open(&a.tune.train.comm, &err);
    first = !a.tune.train.comm || a.tune.train.comm->rank == 0;
    if (!first)
        lcf_log_set_level(LCF_LOG_ERROR);
    if (!status)
        status = lcf_tune(&result, &a.tune, &err);
    if (!status && first) {
        if (a.tune.dry_run)
            print_mixture(result.mixture);
        else
            print_summary(&result, a.tune.out);
        if (a.json)
            status = print_json(&result, &err);
    }
    lcf_tune_result_dispose(&result);
    code = lcf_cli_finish("tune", status, &err); /* says what went wrong before all are ended */
    lcf_comm_close(a.tune.train.comm, status);
    return code;
}
