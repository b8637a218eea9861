/* llmcf merge: a model with a LoRA adapter put into its matrices. */
#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "offline/cmd/verbs.h"
#include "offline/llama/adapter.h"

#include <stdio.h>

enum { OPT_MODEL = 0x100, OPT_ADAPTER, OPT_OUT, OPT_TYPE, OPT_FORCE };

typedef struct arguments {
    const char *model, *adapter, *out;
    lcf_gguf_type type;
    bool force;
} arguments;

static const struct argp_option OPTIONS[] = {
    {"model", OPT_MODEL, "FILE.gguf", 0, "The model that the adapter was trained for", 1},
    {"adapter", OPT_ADAPTER, "FILE.gguf", 0, "The adapter", 1},
    {"out", OPT_OUT, "FILE.gguf", 0, "The merged model", 1},
    {"type", OPT_TYPE, "NAME", 0,
     "Of the written matrices: f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1 or q4_0 "
     "(default f32)",
     2},
    {"force", OPT_FORCE, NULL, 0, "Replace --out where it exists", 2},
    {0},
};

static const char DOC[] =
    "Puts a LoRA adapter into its model: W + alpha / rank * B A for every adapted matrix."
    "\v"
    "The adapter is a GGUF file in llama.cpp's layout, such as `llmcf tune --lora-rank` writes. "
    "One "
    "that names another base model than --model, or has other shapes, is refused.\n\n"
    "A signal ends it with exit code 75; --out is not touched then.\n\n"
    "Example:\n"
    "  llmcf merge --model base.gguf --adapter adapter.gguf --out merged.gguf";

static error_t parse(int key, char *text, struct argp_state *state)
{
    arguments *a = state->input;

    switch (key) {
    case OPT_MODEL:
        a->model = text;
        return 0;
    case OPT_ADAPTER:
        a->adapter = text;
        return 0;
    case OPT_OUT:
        a->out = text;
        return 0;
    case OPT_TYPE:
        if (!lcf_gguf_type_parse(&a->type, text) || !lcf_gguf_type_writable(a->type))
            argp_error(state, "--type '%s' is no type that can be written", text);
        return 0;
    case OPT_FORCE:
        a->force = true;
        return 0;
    case ARGP_KEY_END:
        if (!a->model || !a->adapter || !a->out)
            argp_error(state, "--model, --adapter and --out are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
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
    static const struct argp argp = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};
    arguments a = {.type = LCF_GGUF_F32};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_cli_parse(&argp, "merge", argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = merge(&a, &err);
    return lcf_cli_finish("merge", status, &err);
}
