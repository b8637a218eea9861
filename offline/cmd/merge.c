/* llmcf merge: a model with a LoRA adapter put into its matrices, or several stores put into one.
 */
#include "common/base/file.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/verbs.h"
#include "offline/llama/adapter.h"

#include <stdio.h>

typedef struct arguments {
    const char *model, *adapter, *out, *cot;
    lcf_cli_texts stores;
    lcf_gguf_type type;
    bool force;
} arguments;

static const lcf_option OPTIONS[] = {
    {"model", "FILE.gguf", "The model that the adapter was trained for", 1, LCF_OPT_TEXT(model)},
    {"adapter", "FILE.gguf", "The adapter", 1, LCF_OPT_TEXT(adapter)},
    {"out", "FILE.gguf", "The merged model", 1, LCF_OPT_TEXT(out)},
    {"type", "NAME",
     "Of the written matrices: f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1 or q4_0 "
     "(default f32)",
     2, LCF_OPT_PARSED(type, lcf_cmd_parse_type)},
    {"force", NULL, "Replace --out where it exists", 2, LCF_OPT_FLAG(force)},
    {"cot", "DIR", "The store that gets the records of STORE...", 3, LCF_OPT_TEXT(cot)},
    {NULL, "[STORE...]", NULL, 0, LCF_OPT_TEXTS(stores)},
    {0},
};

static const char DOC[] =
    "Puts a LoRA adapter into its model: W + alpha / rank * B A for every adapted matrix; or the "
    "stores of chains of thought that shards have written into one."
    "\v"
    "The adapter is a GGUF file in llama.cpp's layout, such as `llmcf tune --lora-rank` writes. "
    "One "
    "that names another base model than --model, or has other shapes, is refused.\n\n"
    "A signal ends it with exit code 75; --out is not touched then.\n\n"
    "Stores are joined as by `llmcf store merge`: what is there already stays, conflicts are named "
    "and fail the run once all else is done.\n\n"
    "Examples:\n"
    "  llmcf merge --model base.gguf --adapter adapter.gguf --out merged.gguf\n"
    "  llmcf merge cot/shard-*-of-8 --cot cot";

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;
    const bool stores = a->cot || a->stores.n;

    if (stores && (a->model || a->adapter || a->out || a->force))
        argp_error(state, "either a model and its adapter, or stores");
    if (stores && (!a->cot || !a->stores.n))
        argp_error(state, "stores are joined by STORE... --cot DIR");
    if (!stores && (!a->model || !a->adapter || !a->out))
        argp_error(state, "--model, --adapter and --out are needed");
}

static lcf_status merge(const arguments *a, lcf_err *err)
{
    lcf_llama_train_options options = LCF_LLAMA_TRAIN_OPTIONS_INIT;
    lcf_llama *base = NULL;
    lcf_adapter *adapter = NULL;
    lcf_llama_trainer *t = NULL;
    lcf_llama merged;
    lcf_status status;

    if (lcf_path_same(a->out, a->model) || lcf_path_same(a->out, a->adapter))
        return LCF_FAIL(err, LCF_EINVAL, "%s is an input: name another file", a->out);
    if (!a->force && lcf_path_exists(a->out))
        return LCF_FAIL(err, LCF_EEXIST, "%s exists: --force replaces it", a->out);
    status = lcf_llama_open(&base, a->model, err);
    if (!status)
        status = lcf_adapter_open(&adapter, a->adapter, err);
    if (status)
        goto done;
    lcf_adapter_options(&options.lora, adapter);
    status = lcf_llama_trainer_from(&t, base, &options, err);
    if (!status)
        status = lcf_adapter_put(t, adapter, err);
    if (!status)
        status = lcf_llama_trainer_model(&merged, t, base->tokenizer, err);
    if (status)
        goto done;
    status = lcf_llama_save(a->out, &merged, a->type, "RecGen-LLaMA", err);
    lcf_llama_trainer_model_dispose(&merged);
    if (!status)
        fprintf(stderr, "%s: adapter of rank %zu on %s merged\n", a->out, options.lora.rank,
                options.lora.targets);
done:
    lcf_llama_trainer_free(t);
    lcf_adapter_close(adapter);
    lcf_llama_close(base);
    return status;
}

int lcf_cmd_merge(int argc, char **argv)
{
    static const lcf_options options = {"merge", DOC, OPTIONS, check, NULL};
    arguments a = {.type = LCF_GGUF_F32};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = a.cot ? lcf_cmd_merge_stores(a.cot, &a.stores, &err) : merge(&a, &err);
    lcf_cli_texts_dispose(&a.stores);
    return lcf_cli_finish("merge", status, &err);
}
