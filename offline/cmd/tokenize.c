/*
 * llmcf tokenize: the ids of a text under a model's vocabulary.
 */
#include "common/base/file.h"
#include "common/base/options.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/verbs.h"
#include "offline/llama/complete.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES_MAX = 1 << 29 };

typedef struct arguments {
    const char *model, *file;
    bool bos, json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"model", "FILE.gguf", "The model whose vocabulary is used (required)", 0, LCF_OPT_TEXT(model),
     LCF_REQUIRED},
    {"file", "FILE", "The text; default: standard input", 0, LCF_OPT_TEXT(file)},
    {"no-bos", NULL, "Leave out the <s> that the model puts before a text", 0, LCF_OPT_CLEAR(bos)},
    LCF_ROW_JSON(0, "an object with ids and n instead of a line of ids"),
    {0},
};

static const char DOC[] =
    "Print the token ids of a text: the whole input, every byte of it, a trailing newline "
    "too.\v"
    "Reads the vocabulary of a GGUF file: SentencePiece (llama), byte-level BPE (gpt2, with the "
    "pre-tokenizers gpt-2, llama-bpe, qwen2, smollm) or WordPiece (bert); weights need not be "
    "there. Writes the ids to standard output, separated by spaces. Control tokens "
    "are never made from text: \"</s>\" in the input is spelled out.\n\n"
    "Example:\n  printf 'Once upon a time' | llmcf tokenize --model recgen/recgen.gguf";

static lcf_status read_stdin(lcf_buf *text, lcf_err *err)
{
    char chunk[65536];
    size_t n;

    while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0) {
        lcf_buf_append(text, chunk, n);
        if (text->status || text->len > TEXT_BYTES_MAX)
            return LCF_FAIL(err, text->status ? text->status : LCF_ELIMIT,
                            "standard input: more than %d bytes", TEXT_BYTES_MAX);
    }
    return ferror(stdin) ? LCF_FAIL_ERRNO(err, "reading standard input") : LCF_OK;
}

static lcf_status print_ids(const lcf_tokens *ids, bool json, lcf_err *err)
{
    if (json)
        fputs("{\"ids\": [", stdout);
    for (size_t i = 0; i < ids->n; i++)
        printf("%s%u", i ? json ? ", " : " " : "", ids->ids[i]);
    if (json)
        printf("], \"n\": %zu}", ids->n);
    putchar('\n');
    if (fflush(stdout) || ferror(stdout))
        return LCF_FAIL_ERRNO(err, "writing standard output");
    return LCF_OK;
}

static lcf_status run(const arguments *o, lcf_err *err)
{
    lcf_gguf *g = NULL;
    lcf_tokenizer *t = NULL;
    lcf_buf text = LCF_BUF_INIT;
    lcf_tokens ids = LCF_TOKENS_INIT;
    lcf_status status = lcf_gguf_open(&g, o->model, err);

    if (!status) {
        status = lcf_tokenizer_from_gguf(&t, g, err);
        if (status)
            lcf_err_prefix(err, "%s", o->model);
    }
    if (!status)
        status =
            o->file ? lcf_file_read(&text, o->file, TEXT_BYTES_MAX, err) : read_stdin(&text, err);
    if (!status)
        status = lcf_prompt_encode(&ids, t, lcf_buf_text(&text), text.len, o->bos, err);
    if (!status)
        status = print_ids(&ids, o->json, err);
    lcf_tokens_dispose(&ids);
    lcf_buf_dispose(&text);
    lcf_tokenizer_free(t);
    lcf_gguf_close(g);
    return status;
}

int lcf_cmd_tokenize(int argc, char **argv)
{
    static const lcf_options options = {"tokenize", DOC, OPTIONS, NULL, NULL};
    arguments o = {NULL, NULL, true, false};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &o, &err);

    if (!status)
        status = run(&o, &err);
    return lcf_cli_finish("tokenize", status, &err);
}
