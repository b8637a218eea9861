/* llmcf import: published LLaMA weights as GGUF. */
#include "offline/llama/import.h"
#include "common/base/file.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

typedef struct arguments {
    const char *dir, *out, *tokenizer;
    lcf_gguf_type type;
    bool force;
} arguments;

static const lcf_option OPTIONS[] = {
    {"out", "FILE.gguf", "The model; appears when it is complete", 1, LCF_OPT_TEXT(out),
     LCF_REQUIRED},
    {"tokenizer", "FILE.gguf", "A model whose vocabulary it has: tokenizer.json is not read", 1,
     LCF_OPT_TEXT(tokenizer), LCF_REQUIRED},
    LCF_ROW_MATRIX_TYPE(2, type),
    {"force", NULL, "Replace OUT where it exists", 2, LCF_OPT_FLAG(force)},
    {NULL, "FOLDER", NULL, 0, LCF_OPT_TEXT(dir), LCF_REQUIRED},
    {0},
};

static const char DOC[] =
    "Reads a LLaMA as most trainers write it: a folder with config.json and safetensors, in one "
    "file or in several with their index."
    "\v"
    "The way back of `llmcf export-sft`: what another trainer made of the rows becomes a model for "
    "`llmcf generate`, `judge` and `measure`. F32, F16 and BF16 weights of model_type llama, "
    "mistral and qwen2 are read; a merged model, not an adapter. A model that is GGUF already "
    "needs no import; `llmcf quantize` changes its type.\n\n"
    "A signal ends it with exit code 75; OUT is not touched then.\n\n"
    "Example:\n"
    "  llmcf import trained/ --tokenizer base.gguf --type bf16 --out recgen.gguf";

static void check(void *input, struct argp_state *state)
{
    const arguments *a = input;

    if (!a->force && lcf_path_exists(a->out))
        argp_error(state, "%s exists; --force replaces it", a->out);
}

/* The file is opened once as every other verb will open it. */
static lcf_status describe(const char *path, lcf_err *err)
{
    lcf_llama *model;
    lcf_status status = lcf_llama_open(&model, path, err);

    if (status)
        return status;
    fprintf(stderr, "%s: %zu layers of %zu, a vocabulary of %zu, a context of %zu\n", path,
            model->config.layers_n, model->config.dim, model->config.vocab_n,
            model->config.context_n);
    lcf_llama_close(model);
    return LCF_OK;
}

int lcf_cmd_import(int argc, char **argv)
{
    static const lcf_options options = {"import", DOC, OPTIONS, check, NULL};
    arguments a = {.type = LCF_GGUF_F32};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = lcf_llama_import(a.out, a.dir, a.tokenizer, a.type, &err);
    if (!status)
        status = describe(a.out, &err);
    return lcf_cli_finish("import", status, &err);
}
