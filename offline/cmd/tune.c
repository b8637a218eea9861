/* llmcf tune: a dataset into a RecGen-LLaMA. Options only; the work is in offline/recgen/tune.h. */
#include "offline/recgen/tune.h"

#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/method_options.h"
#include "offline/cmd/mixture_options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/summary.h"
#include "offline/cmd/verbs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct arguments {
    lcf_tune_options tune;
    bool json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"dataset", "DIR", "What `llmcf prepare` made", 1, LCF_OPT_TEXT(tune.dataset)},
    {"out", "DIR", "The artefact; replaced in one step", 1, LCF_OPT_TEXT(tune.out), LCF_REQUIRED},
    {"model", "FILE.gguf", "Go on from this LLaMA (default: a new, small one)", 1,
     LCF_OPT_TEXT(tune.base)},
    {"steps", "N", "Optimizer steps (default 1000)", 2, LCF_OPT_WHOLE(tune.steps, 1, 1u << 30)},
    {"minutes", "M",
     "Make only the steps that fit into so much training time; the result then depends on the "
     "machine",
     2, LCF_OPT_REAL(tune.minutes, 0.0, 1e6)},
    {"batch", "ROWS",
     "Rows of one group (default 8); a step has --accumulate groups in every process", 2,
     LCF_OPT_WHOLE(tune.batch_rows, 1, 65536)},
    {"dim", "N", "Width of a new model (default 192)", 3, LCF_OPT_WHOLE(tune.dim, 8, 16384)},
    {"layers", "N", "Layers (default 6)", 3, LCF_OPT_WHOLE(tune.layers_n, 1, 256)},
    {"heads", "N", "Attention heads (default: dim / 32)", 3, LCF_OPT_WHOLE(tune.heads_n, 1, 256)},
    {"kv-heads", "N", "Key and value heads (default: half of the heads)", 3,
     LCF_OPT_WHOLE(tune.kv_heads_n, 1, 256)},
    {"ffn", "N", "Hidden width of the SwiGLU (default: 8/3 dim)", 3,
     LCF_OPT_WHOLE(tune.ffn_dim, 8, 65536)},
    {"vocab", "N", "Pieces of a new vocabulary (default 4096)", 3,
     LCF_OPT_WHOLE(tune.vocab_n, 300, 200000)},
    {"context", "TOKENS", "Context of a new model (default 512)", 3,
     LCF_OPT_WHOLE(tune.context_n, 64, 131072)},
    LCF_ROW_MATRIX_TYPE(3, tune.type),
    {"eval-rows", "N", "Held-out rows for the AUC (default 400)", 4,
     LCF_OPT_WHOLE(tune.measure.auc_rows, 0, 1u << 30)},
    {"choice", "DIR",
     "Also measure multiple choice, five-shot: a folder with dev/ and val/ as MMLU's", 4,
     LCF_OPT_TEXT(tune.measure.choice_dir)},
    {"choice-rows", "N", "Questions, over all subjects (default 0: all)", 4,
     LCF_OPT_WHOLE(tune.measure.choice_rows, 0, 1u << 30)},
    {"checkpoint-every", "STEPS", "Saved in OUT.work (default 100)", 4,
     LCF_OPT_WHOLE(tune.checkpoint_every, 1, 1u << 30)},
    LCF_ROW_SEED(4, "Of weights, order and wording (default 1)", tune.seed),
    LCF_ROW_THREADS(4, "result is", tune.threads),
    {"force", NULL, "Start afresh, also when the artefact is up to date", 4,
     LCF_OPT_FLAG(tune.force)},
    {"reuse", NULL,
     "Keep a model that these options made from an earlier dataset, and with it every record that "
     "it wrote",
     4, LCF_OPT_FLAG(tune.reuse)},
    {"dry-run", NULL,
     "Read the sources, print the mixture's rows, tokens and what the cutoff takes, and stop", 4,
     LCF_OPT_FLAG(tune.dry_run)},
    LCF_ROW_JSON(4, "the summary as JSON on stdout"),
    {.help = "What the model is tuned on:",
     .group = 5,
     LCF_OPT_MIXTURE(tune.sources, tune.mixture)},
    {.help = "How it is tuned:", .group = 6, LCF_OPT_TABLE(tune, lcf_method_rows)},
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

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (!a->tune.dataset && !a->tune.sources.n)
        argp_error(state, "--dataset or a --source is needed");
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
    static const lcf_options options = {"tune", DOC, OPTIONS, check, NULL};
    arguments a = {.json = false};
    lcf_err err = LCF_ERR_INIT;
    lcf_tune_result result = {.mixture = NULL};
    lcf_status status;
    bool first;
    int code;

    lcf_tune_options_init(&a.tune);
    status = lcf_options_parse(&options, argc, argv, &a, &err);
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
