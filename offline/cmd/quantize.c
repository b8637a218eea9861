/*
 * llmcf quantize: the same model with its matrices in another type.
 *
 * Keys and the order of tensors stay; matrices are converted one piece at a time, so that memory
 * does not grow with the model. Vectors (norms, biases) stay as they are.
 */
#include "common/base/file.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/verbs.h"
#include "offline/llama/gguf.h"

#include <stdio.h>
#include <string.h>

typedef struct arguments {
    const char *in, *out;
    lcf_gguf_type type;
    bool force;
} arguments;

static const lcf_option OPTIONS[] = {
    {"force", NULL, "Replace OUT where it exists", 0, LCF_OPT_FLAG(force)},
    {NULL, "IN.gguf", NULL, 0, LCF_OPT_TEXT(in), LCF_REQUIRED},
    {NULL, "OUT.gguf", NULL, 0, LCF_OPT_TEXT(out), LCF_REQUIRED},
    {NULL, "TYPE", NULL, 0, LCF_OPT_PARSED(type, lcf_cmd_parse_type), LCF_REQUIRED},
    {0},
};

static const char DOC[] =
    "Write a model (GGUF) with its matrices in another type.\v"
    "TYPE is one of F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q5_1, Q5_0, Q4_K, Q4_1, Q4_0. Any type that "
    "can be read can be "
    "the input, also a model in several files (name the first); what comes out is one file. "
    "Vectors stay as they are; a matrix whose rows are no whole number of blocks becomes F16; from "
    "a quantised type to another the errors of both add up. Memory does not grow with the "
    "model.\n\n"
    "Bits per weight: Q8_0 8.5, Q6_K 6.56, Q5_1 6, Q5_K and Q5_0 5.5, Q4_1 5, Q4_K and Q4_0 4.5. "
    "The K types need rows of a multiple of 256; in memory they are Q8_0 here.\n\n"
    "Example:\n  llmcf quantize recgen/recgen.gguf recgen-q8_0.gguf Q8_0";

/* What the writer says itself, or what is true of the input's files only. */
static bool key_is_replaced(const char *key)
{
    return !strcmp(key, "general.file_type") || !strcmp(key, "general.quantization_version") ||
           !strcmp(key, "general.alignment") || !strncmp(key, "split.", 6);
}

static lcf_status add_keys(lcf_gguf_writer *w, const lcf_gguf *g, lcf_gguf_type type, lcf_err *err)
{
    const char *key;
    lcf_status status = lcf_gguf_add_u32(w, "general.file_type", lcf_gguf_file_type(type), err);

    if (!status)
        status = lcf_gguf_add_u32(w, "general.quantization_version", 2, err);
    for (size_t i = 0; (key = lcf_gguf_key_at(g, i)) && !status; i++) {
        lcf_gguf_value value = lcf_gguf_value_at(g, i);
        if (!key_is_replaced(key))
            status = lcf_gguf_add_value(w, key, &value, err);
    }
    return status;
}

static lcf_gguf_type type_for(const lcf_gguf_tensor *t, lcf_gguf_type type)
{
    if (t->dims_n < 2 || !lcf_gguf_type_readable(t->type))
        return t->type;
    return t->dims[0] % lcf_gguf_type_block(type) ? LCF_GGUF_F16 : type;
}

static lcf_status add_tensors(lcf_gguf_writer *w, uint64_t *bytes_n, const lcf_gguf *g,
                              lcf_gguf_type type, lcf_err *err)
{
    size_t matrices_n = 0;
    lcf_status status = LCF_OK;

    *bytes_n = 0;
    for (size_t i = 0; i < lcf_gguf_tensors_n(g) && !status; i++) {
        const lcf_gguf_tensor *t = lcf_gguf_tensor_at(g, i);
        lcf_gguf_type its_type = type_for(t, type);
        if (t->dims_n > 1 && !lcf_gguf_type_readable(t->type))
            return LCF_FAIL(err, LCF_EUNSUPPORTED,
                            "tensor '%s' is of type %s, which cannot be read", t->name,
                            lcf_gguf_type_name(t->type));
        status = lcf_gguf_add_converted(w, t, its_type, err);
        *bytes_n += lcf_gguf_type_bytes(its_type, t->n);
        matrices_n += t->dims_n > 1;
    }
    if (!status && !matrices_n)
        status = LCF_FAIL(err, LCF_EINVAL, "there is no matrix in it");
    return status;
}

static void show(void *progress, uint64_t bytes_n)
{
    lcf_progress_update(progress, bytes_n);
}

static lcf_status check_out(const arguments *o, const lcf_gguf *g, lcf_err *err)
{
    for (size_t i = 0; i < lcf_gguf_shards_n(g); i++)
        if (lcf_path_same(lcf_gguf_path(g, i), o->out))
            return LCF_FAIL(err, LCF_EINVAL, "%s is the input: name another file", o->out);
    return o->force || !lcf_path_exists(o->out)
               ? LCF_OK
               : LCF_FAIL(err, LCF_EEXIST, "%s exists: --force replaces it", o->out);
}

static lcf_status run(const arguments *o, lcf_err *err)
{
    lcf_gguf *g = NULL;
    lcf_gguf_writer *w = NULL;
    lcf_progress progress = {0};
    uint64_t bytes_n = 0;
    lcf_status status = lcf_gguf_open(&g, o->in, err);

    if (!status)
        status = check_out(o, g, err);
    if (!status)
        status = lcf_gguf_create(&w, o->out, err);
    if (!status)
        status = add_keys(w, g, o->type, err);
    if (!status) {
        status = add_tensors(w, &bytes_n, g, o->type, err);
        if (status)
            lcf_err_prefix(err, "%s", o->in);
    }
    if (!status) {
        lcf_progress_start(&progress, "quantize", "bytes", bytes_n);
        lcf_gguf_watch(w, show, &progress);
        status = lcf_gguf_commit(w, err);
        w = NULL;
        lcf_progress_end(&progress);
    }
    if (!status)
        lcf_log(LCF_LOG_INFO, "msg=\"%s written\" type=%s bytes_before=%llu bytes_after=%llu",
                o->out, lcf_gguf_type_name(o->type), (unsigned long long)lcf_gguf_bytes_n(g),
                (unsigned long long)bytes_n);
    lcf_gguf_abandon(w);
    lcf_gguf_close(g);
    return status;
}

int lcf_cmd_quantize(int argc, char **argv)
{
    static const lcf_options options = {"quantize", DOC, OPTIONS, NULL, NULL};
    arguments o = {NULL, NULL, LCF_GGUF_F32, false};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &o, &err);

    lcf_stop_install();
    if (!status)
        status = run(&o, &err);
    return lcf_cli_finish("quantize", status, &err);
}
