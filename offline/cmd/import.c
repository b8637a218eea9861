/* llmcf import: published LLaMA weights as GGUF. */
#include "offline/llama/import.h"
#include "common/base/cli.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "offline/cmd/verbs.h"

#include <stdio.h>

enum { OPT_TOKENIZER = 0x100, OPT_OUT, OPT_TYPE, OPT_FORCE };

static const struct argp_option OPTIONS[] = {
    {"out", OPT_OUT, "FILE.gguf", 0, "The model; appears when it is complete", 1},
    {"tokenizer", OPT_TOKENIZER, "FILE.gguf", 0,
     "A model whose vocabulary it has: tokenizer.json is not read", 1},
    {"type", OPT_TYPE, "NAME", 0, "Of the written matrices: f32, f16, bf16 or q8_0 (default f32)",
     2},
    {"force", OPT_FORCE, NULL, 0, "Replace OUT where it exists", 2},
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

typedef struct arguments {
    const char *dir, *out, *tokenizer;
    lcf_gguf_type type;
    bool force;
} arguments;

static error_t parse(int key, char *text, struct argp_state *state)
{
    static const lcf_gguf_type types[] = {LCF_GGUF_F32, LCF_GGUF_F16, LCF_GGUF_BF16, LCF_GGUF_Q8_0};
    arguments *a = state->input;

    switch (key) {
    case OPT_TOKENIZER:
        a->tokenizer = text;
        return 0;
    case OPT_OUT:
        a->out = text;
        return 0;
    case OPT_TYPE:
        a->type = types[lcf_cli_choice(state, "type", text, "f32", "f16", "bf16", "q8_0", NULL)];
        return 0;
    case OPT_FORCE:
        a->force = true;
        return 0;
    case ARGP_KEY_ARG:
        if (a->dir)
            argp_error(state, "'%s' is too many", text);
        a->dir = text;
        return 0;
    case ARGP_KEY_END:
        if (!a->dir || !a->out || !a->tokenizer)
            argp_error(state, "the folder, --tokenizer and --out are needed");
        if (!a->force && lcf_path_exists(a->out))
            argp_error(state, "%s exists; --force replaces it", a->out);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The file is opened once as every other verb will open it. */
static lcf_status check(const char *path, lcf_err *err)
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
    static const struct argp argp = {OPTIONS, parse, "FOLDER", DOC, NULL, NULL, NULL};
    arguments a = {.type = LCF_GGUF_F32};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_cli_parse(&argp, "import", argc, argv, &a, &err);

    lcf_stop_install();
    if (!status)
        status = lcf_llama_import(a.out, a.dir, a.tokenizer, a.type, &err);
    if (!status)
        status = check(a.out, &err);
    return lcf_cli_finish("import", status, &err);
}
