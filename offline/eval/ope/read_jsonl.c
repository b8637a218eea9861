/*
 * The plain log as JSON lines: one object per row (schemas/bandit_log.md section 3). As in the CSV
 * form, a member that is not known is an error.
 */
#include "offline/eval/ope/read.h"

#include "common/base/json.h"
#include "common/base/mem.h"
#include "offline/eval/ope/json_lines.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    lcf_ope_log *log;
    uint64_t line;
    lcf_ope_candidate *candidates;
    size_t candidates_capacity;
    lcf_ope_context context;
} reader;

static lcf_status bad(reader *r, const char *key, const char *what, lcf_err *err)
{
    lcf_buf reason = LCF_BUF_INIT;
    char name[64];
    lcf_status status;

    snprintf(name, sizeof(name), "%s", key);
    lcf_utf8_mend(name);
    lcf_buf_printf(&reason, "'%s' %s", name, what);
    status = lcf_ope_log_bad_row(r->log, r->line, lcf_buf_text(&reason), err);
    lcf_buf_dispose(&reason);
    return status;
}

static lcf_str text_of(const json_t *value)
{
    return (lcf_str){json_string_value(value), json_string_length(value)};
}

static double number_in(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : otherwise;
}

/*
 * "target" as an object lists the candidates; "propensities" and "scores" say more about them.
 */
static lcf_status read_candidates(bool *kept, reader *r, lcf_ope_row *row, const json_t *object,
                                  lcf_err *err)
{
    json_t *targets = json_object_get(object, "target"), *value;
    const json_t *propensities = json_object_get(object, "propensities");
    const json_t *scores = json_object_get(object, "scores");
    const char *key;
    size_t n = 0;

    if (!json_is_object(
            targets)) /* the propensities may list the candidates for a target to come */
        targets = json_object_get(object, "propensities");
    if (lcf_grow((void **)&r->candidates, &r->candidates_capacity, json_object_size(targets) + 1,
                 sizeof(*r->candidates)))
        return LCF_FAIL(err, LCF_ENOMEM, "candidates of %s", r->log->path);
    json_object_foreach(targets, key, value)
    {
        if (!json_is_number(value)) {
            *kept = false;
            return bad(r, key, "among the candidates is not a number", err);
        }
        r->candidates[n++] =
            (lcf_ope_candidate){{key, strlen(key)},
                                targets == propensities ? NAN : json_number_value(value),
                                number_in(propensities, key, NAN),
                                number_in(scores, key, 0)};
        if (row->action.len == strlen(key) && !memcmp(row->action.data, key, row->action.len))
            row->score = number_in(scores, key, 0);
    }
    return lcf_ope_log_add_set(&row->set, r->log, r->candidates, n, r->line, err);
}

static double number_or_nan(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* NULL, or what is wrong with the type of that member. */
static const char *take_member(lcf_ope_row *row, const char *key, const json_t *value)
{
    bool position = !strcmp(key, "position"), target_position = !strcmp(key, "target_position");

    if (!strcmp(key, "user") || !strcmp(key, "request") || !strcmp(key, "action")) {
        lcf_str *to = key[0] == 'u' ? &row->user : key[0] == 'r' ? &row->request : &row->action;
        if (!json_is_string(value))
            return "is not a text";
        *to = text_of(value);
    } else if (!strcmp(key, "reward")) {
        row->reward = number_or_nan(value);
    } else if (!strcmp(key, "propensity")) {
        row->propensity = number_or_nan(value);
    } else if (position || target_position) {
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return "is not a whole number";
        *(position ? &row->position : &row->target_position) = (uint64_t)json_integer_value(value);
    } else if (!strcmp(key, "target")) {
        if (!json_is_number(value) && !json_is_object(value))
            return "is neither a number nor an object of numbers";
        row->target = number_or_nan(value);
    } else if (!strcmp(key, "propensities") || !strcmp(key, "scores") || !strcmp(key, "context")) {
        return json_is_object(value) ? NULL : "is not an object";
    } else {
        return "is no member of a row; there are user, request, action, position, "
               "target_position, reward, propensity, propensities, target, scores, context";
    }
    return NULL;
}

static lcf_status add_object(void *arg, uint64_t line, json_t *object, lcf_err *err)
{
    reader *r = arg;
    lcf_ope_row row = LCF_OPE_ROW_INIT;
    json_t *value, *context = json_object_get(object, "context");
    const char *key;
    bool kept = true;
    lcf_status status = LCF_OK;

    r->line = row.line = line;
    json_object_foreach(object, key, value)
    {
        const char *fault = take_member(&row, key, value);
        if (fault)
            return bad(r, key, fault, err);
    }
    if (context)
        status = lcf_ope_context_read(&kept, &r->context, &row, r->log, context, err);
    if (!status && kept &&
        (json_is_object(json_object_get(object, "target")) ||
         json_object_get(object, "propensities")))
        status = read_candidates(&kept, r, &row, object, err);
    return status || !kept ? status : lcf_ope_log_add(r->log, &row, err);
}

lcf_status lcf_ope_read_jsonl(lcf_ope_log *log, const char *data, size_t bytes_n, lcf_err *err)
{
    reader r = {.log = log};
    lcf_status status = lcf_ope_json_lines(log, data, bytes_n, add_object, &r, err);

    free(r.candidates);
    lcf_ope_context_dispose(&r.context);
    return status;
}
