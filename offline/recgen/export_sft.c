/* Export of a mixture; rows are written as they are drawn. */
#include "offline/recgen/export_sft.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/progress.h"

#include <stdlib.h>
#include <string.h>

typedef struct export
{
    const lcf_export_sft_options *o;
    lcf_manifest *manifest;
    lcf_dataset d;
    lcf_related *related;
    lcf_sources *sources;
    lcf_mixture *mixture;
    lcf_dialogues row; /* one at a time */
    lcf_out *alpaca, *sharegpt;
    uint64_t rows_n[LCF_SOURCES_MAX];
}
export;

/* ---- rows as JSON ---- */

static json_t *string_of(lcf_str text)
{
    return json_stringn(text.data, text.len);
}

/* A question with its input, as trainers that know no input want it. */
static json_t *question_of(lcf_str user, lcf_str input)
{
    lcf_buf text = LCF_BUF_INIT;
    json_t *json;

    if (!input.len)
        return string_of(user);
    lcf_buf_append(&text, user.data, user.len);
    lcf_buf_append_char(&text, '\n');
    lcf_buf_append(&text, input.data, input.len);
    json = text.status ? NULL : string_of((lcf_str){text.data, text.len});
    lcf_buf_dispose(&text);
    return json;
}

/* The turns of the row at hand, one question at a time. */
typedef struct exchange {
    lcf_str system, user, input, answer;
    size_t at; /* the next turn */
} exchange;

static bool next_exchange(exchange *x, const lcf_dialogues *g)
{
    x->input = (lcf_str){"", 0};
    while (x->at < lcf_dialogues_turns_n(g, 0)) {
        lcf_turn turn = lcf_dialogues_turn(g, 0, x->at++);
        lcf_str *parts[] = {&x->system, &x->user, &x->input, &x->answer};
        *parts[turn.role] = turn.text;
        if (turn.role == LCF_ROLE_ASSISTANT)
            return true;
    }
    return false;
}

static json_t *alpaca_of(const lcf_dialogues *g)
{
    exchange x = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, 0};
    size_t left = lcf_dialogues_turns_n(g, 0);
    json_t *history = json_array(), *json;

    while (next_exchange(&x, g) && x.at < left)
        json_array_append_new(
            history, json_pack("[o, o]", question_of(x.user, x.input), string_of(x.answer)));
    json = json_pack("{s:o, s:o, s:o}", "instruction", string_of(x.user), "input",
                     string_of(x.input), "output", string_of(x.answer));
    if (x.system.len)
        json_object_set_new(json, "system", string_of(x.system));
    if (json_array_size(history))
        json_object_set(json, "history", history);
    json_decref(history);
    return json;
}

static json_t *sharegpt_of(const lcf_dialogues *g)
{
    exchange x = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, 0};
    json_t *turns = json_array(), *json;

    while (next_exchange(&x, g)) {
        json_array_append_new(
            turns, json_pack("{s:s, s:o}", "from", "human", "value", question_of(x.user, x.input)));
        json_array_append_new(turns,
                              json_pack("{s:s, s:o}", "from", "gpt", "value", string_of(x.answer)));
    }
    json = json_pack("{s:o}", "conversations", turns);
    if (x.system.len)
        json_object_set_new(json, "system", string_of(x.system));
    return json;
}

static lcf_status write_row(lcf_out *out, json_t *json, bool first, lcf_err *err)
{
    FILE *f = lcf_out_stream(out);
    lcf_status status = LCF_OK;

    if (!json)
        return LCF_FAIL(err, LCF_ENOMEM, "row as JSON");
    if (fputs(first ? "[\n" : ",\n", f) < 0 || json_dumpf(json, f, JSON_COMPACT))
        status = LCF_FAIL(err, LCF_EIO, "rows cannot be written");
    json_decref(json);
    return status;
}

static lcf_status write_rows(export *x, uint64_t rows, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (uint64_t i = 0; i < rows && !status; i++) {
        lcf_slot slot = lcf_mixture_draw(x->mixture);
        lcf_dialogues_reset(&x->row);
        status = lcf_sources_dialogue(&x->row, x->sources, slot.source, slot.row, slot.seed, err);
        if (!status)
            status = write_row(x->alpaca, alpaca_of(&x->row), i == 0, err);
        if (!status)
            status = write_row(x->sharegpt, sharegpt_of(&x->row), i == 0, err);
        x->rows_n[slot.source]++;
        if (!status && lcf_stop_requested())
            status = LCF_FAIL(err, LCF_ECANCELED, "stopped; nothing was written");
    }
    if (!status && (fputs("\n]\n", lcf_out_stream(x->alpaca)) < 0 ||
                    fputs("\n]\n", lcf_out_stream(x->sharegpt)) < 0))
        status = LCF_FAIL(err, LCF_EIO, "rows cannot be written");
    return status;
}

/* ---- the files ---- */

static lcf_status write_info(const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "dataset_info.json");
    json_t *info =
        json_pack("{s:{s:s, s:{s:s, s:s, s:s, s:s, s:s}}, s:{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, "
                  "s:s, s:s}}}",
                  "recgen_alpaca", "file_name", "alpaca.json", "columns", "prompt", "instruction",
                  "query", "input", "response", "output", "system", "system", "history", "history",
                  "recgen_sharegpt", "file_name", "sharegpt.json", "formatting", "sharegpt",
                  "columns", "messages", "conversations", "system", "system", "tags", "role_tag",
                  "from", "content_tag", "value", "user_tag", "human", "assistant_tag", "gpt");
    lcf_status status =
        path && info ? lcf_json_save(path, info, err) : LCF_FAIL(err, LCF_ENOMEM, "dataset entry");

    json_decref(info);
    free(path);
    return status;
}

static lcf_status open_file(lcf_out **out, const char *dir, const char *name, lcf_err *err)
{
    char *path = lcf_path_join(dir, name);
    lcf_status status =
        path ? lcf_out_open(out, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);

    free(path);
    return status;
}

static lcf_status commit(lcf_out **out, lcf_err *err)
{
    lcf_out *file = *out;

    *out = NULL;
    return lcf_out_commit(file, err);
}

static uint64_t slots(const export *x)
{
    uint64_t all = 0;

    for (size_t i = 0; i < lcf_sources_n(x->sources); i++)
        all += lcf_sources_info(x->sources, i).rows_n;
    return x->o->rows ? x->o->rows : all;
}

static lcf_status write_files(export *x, const char *dir, lcf_err *err)
{
    lcf_status status = open_file(&x->alpaca, dir, "alpaca.json", err);

    if (!status)
        status = open_file(&x->sharegpt, dir, "sharegpt.json", err);
    if (!status)
        status = write_rows(x, slots(x), err);
    if (!status)
        status = commit(&x->alpaca, err);
    if (!status)
        status = commit(&x->sharegpt, err);
    return status ? status : write_info(dir, err);
}

static lcf_status write_artefact(export *x, lcf_err *err)
{
    lcf_stage *stage;
    lcf_status status = lcf_stage_open(&stage, x->o->out, err);

    if (!status)
        status = write_files(x, lcf_stage_path(stage), err);
    return lcf_manifest_finish(x->manifest, stage, status, err);
}

/* ---- the step ---- */

static lcf_status describe(export *x, lcf_err *err)
{
    const lcf_export_sft_options *o = x->o;
    const lcf_input inputs[] = {{"dataset", o->dataset}, {NULL, NULL}};
    json_t *params =
        json_pack("{s:I, s:I}", "rows", (json_int_t)o->rows, "seed", (json_int_t)o->sources.seed);
    const lcf_status status =
        lcf_manifest_describe(&x->manifest, "export-sft", params, inputs, err);

    return status ? status : lcf_sources_describe(x->manifest, &o->sources, err);
}

static lcf_status open_inputs(export *x, lcf_err *err)
{
    const lcf_export_sft_options *o = x->o;
    lcf_mixture_options mixture = LCF_MIXTURE_OPTIONS_INIT;
    lcf_status status = o->dataset ? lcf_dataset_open(&x->d, o->dataset, err) : LCF_OK;

    if (!status && o->dataset)
        status = lcf_related_create(&x->related, &x->d, err);
    if (!status)
        status =
            lcf_sources_open(&x->sources, o->dataset ? &x->d : NULL, x->related, &o->sources, err);
    for (size_t i = 0; !status && i < lcf_sources_n(x->sources); i++)
        if (lcf_sources_info(x->sources, i).spec->kind == LCF_SOURCE_TEXT)
            status = LCF_FAIL(err, LCF_EUSAGE, "source '%s': plain text is no instruction",
                              lcf_sources_info(x->sources, i).spec->text);
    return status ? status : lcf_mixture_create(&x->mixture, x->sources, NULL, &mixture, err);
}

static lcf_status count(json_t **stats, const export *x, lcf_err *err)
{
    json_t *json = json_object();

    for (size_t i = 0; i < lcf_sources_n(x->sources); i++) {
        const char *kind = lcf_source_kind_name(lcf_sources_info(x->sources, i).spec->kind);
        json_int_t before = json_integer_value(json_object_get(json, kind));
        json_object_set_new(json, kind, json_integer(before + (json_int_t)x->rows_n[i]));
    }
    *stats = json;
    return json ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "statistics");
}

lcf_status lcf_export_sft(json_t **stats, bool *current, const lcf_export_sft_options *options,
                          lcf_err *err)
{
    export x = {.o = options, .row = LCF_DIALOGUES_INIT};
    lcf_status status = describe(&x, err);

    *stats = NULL;
    *current = !status && !options->force && lcf_manifest_is_current(x.manifest, options->out);
    if (!status && !*current)
        status = open_inputs(&x, err);
    if (!status && !*current)
        status = write_artefact(&x, err);
    if (!status && !*current)
        status = count(stats, &x, err);
    lcf_out_abandon(x.alpaca);
    lcf_out_abandon(x.sharegpt);
    lcf_dialogues_dispose(&x.row);
    lcf_mixture_free(x.mixture);
    lcf_sources_free(x.sources);
    lcf_related_free(x.related);
    lcf_dataset_close(&x.d);
    lcf_manifest_free(x.manifest);
    return status;
}
