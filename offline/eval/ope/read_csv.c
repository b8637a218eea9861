/*
 * The plain log as CSV or TSV: columns by name (schemas/bandit_log.md section 2).
 *
 * Invariant: a column that is not known is an error, not ignored: a misspelt name would otherwise
 * change what is estimated.
 */
#include "offline/eval/ope/read.h"

#include "common/base/mem.h"
#include "offline/data/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind {
    USER,
    REQUEST,
    ACTION,
    POSITION,
    TARGET_POSITION,
    REWARD,
    PROPENSITY,
    TARGET,
    NUMBER,               /* x:NAME */
    CATEGORY,             /* c:NAME */
    CANDIDATE_TARGET,     /* target:ACTION */
    CANDIDATE_PROPENSITY, /* propensity:ACTION */
    KINDS_N
} kind;

static const char *const NAMES[KINDS_N] = {
    "user",       "request", "action", "position", "target_position", "reward",
    "propensity", "target",  "x:",     "c:",       "target:",         "propensity:"};

typedef struct reader {
    lcf_ope_log *log;
    lcf_rows rows;
    kind kinds[LCF_ROW_FIELDS_MAX];
    char *names[LCF_ROW_FIELDS_MAX]; /* after the prefix; of prefixed columns only */
    size_t columns_n;
    size_t at[NUMBER]; /* column of each plain kind, columns_n: none */
    bool has_candidates;
    lcf_buf categories; /* "name=value" texts of one row */
    lcf_ope_feature features[LCF_ROW_FIELDS_MAX];
    lcf_ope_candidate candidates[LCF_ROW_FIELDS_MAX];
} reader;

static bool has_prefix(lcf_str text, const char *prefix)
{
    size_t n = strlen(prefix);

    return text.len > n && !memcmp(text.data, prefix, n);
}

static bool equals(lcf_str text, const char *name)
{
    return text.len == strlen(name) && !memcmp(text.data, name, text.len);
}

static lcf_status take_column(reader *r, size_t c, lcf_err *err)
{
    lcf_str field = r->rows.fields[c];
    size_t k;

    for (k = 0; k < KINDS_N; k++)
        if (k < NUMBER ? equals(field, NAMES[k]) : has_prefix(field, NAMES[k]))
            break;
    if (k == KINDS_N)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s:1: there is no column '%.*s'; there are user, request, action, "
                        "position, target_position, reward, propensity, target, x:NAME (a number), "
                        "c:NAME (a category), target:ACTION and propensity:ACTION",
                        r->log->path, (int)(field.len < 64 ? field.len : 64), field.data);
    r->kinds[c] = (kind)k;
    if (k < NUMBER) {
        if (r->at[k] < r->columns_n)
            return LCF_FAIL(err, LCF_EFORMAT, "%s:1: two columns named '%s'", r->log->path,
                            NAMES[k]);
        r->at[k] = c;
        return LCF_OK;
    }
    r->has_candidates |= k == CANDIDATE_TARGET || k == CANDIDATE_PROPENSITY;
    r->names[c] = lcf_strndup(field.data + strlen(NAMES[k]), field.len - strlen(NAMES[k]));
    return r->names[c] ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "columns of %s", r->log->path);
}

static lcf_status read_header(reader *r, lcf_err *err)
{
    static const kind needed[] = {ACTION, REWARD, PROPENSITY};
    lcf_row_result result = lcf_rows_next(&r->rows);
    lcf_status status = LCF_OK;

    if (result != LCF_ROW_OK)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:1: no header row: %s", r->log->path,
                        result == LCF_ROW_BAD ? r->rows.reason : "the file is empty");
    r->columns_n = r->rows.fields_n;
    for (size_t k = 0; k < NUMBER; k++)
        r->at[k] = r->columns_n;
    for (size_t c = 0; c < r->columns_n && !status; c++)
        status = take_column(r, c, err);
    for (size_t k = 0; k < sizeof(needed) / sizeof(needed[0]) && !status; k++)
        if (r->at[needed[k]] == r->columns_n)
            status = LCF_FAIL(err, LCF_EFORMAT, "%s:1: the column '%s' is missing", r->log->path,
                              NAMES[needed[k]]);
    return status;
}

static lcf_str text_at(const reader *r, kind k)
{
    return r->at[k] < r->columns_n ? r->rows.fields[r->at[k]] : (lcf_str){"", 0};
}

/* false when the column is there and holds no whole number. */
static bool position_at(uint64_t *out, const reader *r, kind k)
{
    lcf_str text = text_at(r, k);

    return r->at[k] == r->columns_n || lcf_parse_u64(text.data, text.len, out);
}

/* NULL, or a reason. Category texts go to `categories`, whose bytes may move until all are there.
 */
static const char *read_features(reader *r, lcf_ope_row *row)
{
    size_t offsets[LCF_ROW_FIELDS_MAX], n = 0;

    lcf_buf_reset(&r->categories);
    for (size_t c = 0; c < r->columns_n; c++) {
        lcf_str field = r->rows.fields[c];
        lcf_ope_feature *f = &r->features[n];
        if (r->kinds[c] == NUMBER) {
            *f = (lcf_ope_feature){{r->names[c], strlen(r->names[c])}, lcf_ope_number(field), true};
            if (isnan(f->value))
                return "a context number (x:) is missing or not a number";
            n++;
        } else if (r->kinds[c] == CATEGORY) {
            offsets[n] = r->categories.len;
            lcf_buf_append_text(&r->categories, r->names[c]);
            lcf_buf_append_char(&r->categories, '=');
            lcf_buf_append(&r->categories, field.data, field.len);
            *f = (lcf_ope_feature){{NULL, r->categories.len - offsets[n]}, 1, false};
            n++;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (!r->features[i].name.data)
            r->features[i].name.data = lcf_buf_text(&r->categories) + offsets[i];
    row->features = r->features;
    row->features_n = n;
    return NULL;
}

/* The candidate of a target: or propensity: column; a new one where its action is new in the row.
 */
static lcf_ope_candidate *candidate_of(reader *r, size_t *n, const char *name)
{
    lcf_str action = {name, strlen(name)};

    for (size_t i = 0; i < *n; i++)
        if (equals(r->candidates[i].action, name))
            return &r->candidates[i];
    r->candidates[*n] = (lcf_ope_candidate){action, NAN, NAN, 0};
    return &r->candidates[(*n)++];
}

/* NULL, or a reason. An empty field: the action was no candidate. */
static const char *read_candidates(size_t *n, reader *r)
{
    *n = 0;
    for (size_t c = 0; c < r->columns_n; c++) {
        lcf_str field = r->rows.fields[c];
        bool target = r->kinds[c] == CANDIDATE_TARGET;
        lcf_ope_candidate *candidate;
        double value;
        if ((!target && r->kinds[c] != CANDIDATE_PROPENSITY) || !field.len)
            continue;
        value = lcf_ope_number(field);
        if (isnan(value))
            return "a probability of a candidate is not a number";
        candidate = candidate_of(r, n, r->names[c]);
        *(target ? &candidate->target : &candidate->propensity) = value;
    }
    return NULL;
}

static lcf_status add_row(reader *r, lcf_err *err)
{
    lcf_ope_row row = LCF_OPE_ROW_INIT;
    const char *fault = NULL;
    size_t candidates_n;
    lcf_status status = LCF_OK;

    row.line = r->rows.line;
    row.user = text_at(r, USER);
    row.request = text_at(r, REQUEST);
    row.action = text_at(r, ACTION);
    row.reward = lcf_ope_number(text_at(r, REWARD));
    row.propensity = lcf_ope_number(text_at(r, PROPENSITY));
    row.target = lcf_ope_number(text_at(r, TARGET));
    if (r->at[TARGET] < r->columns_n && isnan(row.target))
        fault = "the target probability is missing or not a number";
    else if (!position_at(&row.position, r, POSITION))
        fault = "the position is missing or not a whole number";
    else if (!position_at(&row.target_position, r, TARGET_POSITION))
        fault = "the target position is missing or not a whole number";
    else
        fault = read_features(r, &row);
    if (!fault && r->has_candidates)
        fault = read_candidates(&candidates_n, r);
    if (fault)
        return lcf_ope_log_bad_row(r->log, row.line, fault, err);
    if (r->categories.status)
        return LCF_FAIL(err, LCF_ENOMEM, "a row of %s", r->log->path);
    if (r->has_candidates)
        status = lcf_ope_log_add_set(&row.set, r->log, r->candidates, candidates_n, row.line, err);
    return status ? status : lcf_ope_log_add(r->log, &row, err);
}

static lcf_status read_rows(reader *r, lcf_err *err)
{
    bool more = true;
    lcf_status status = LCF_OK;

    while (!status && more) {
        status = lcf_ope_log_next_row(&more, r->log, &r->rows, r->columns_n, err);
        if (!status && more)
            status = add_row(r, err);
    }
    return status;
}

lcf_status lcf_ope_read_csv(lcf_ope_log *log, const char *data, size_t bytes_n, lcf_err *err)
{
    const char *newline = bytes_n ? memchr(data, '\n', bytes_n) : NULL;
    size_t header_n = newline ? (size_t)(newline - data) : bytes_n;
    bool tabs = header_n && memchr(data, '\t', header_n);
    reader *r = lcf_alloc_zero(1, sizeof(*r));
    lcf_status status;

    if (!r)
        return LCF_FAIL(err, LCF_ENOMEM, "reader of %s", log->path);
    r->log = log;
    status = lcf_rows_init(&r->rows, data, bytes_n, tabs ? '\t' : ',', !tabs, err);
    if (!status)
        status = read_header(r, err);
    if (!status)
        status = read_rows(r, err);
    for (size_t c = 0; c < r->columns_n; c++)
        free(r->names[c]);
    lcf_buf_dispose(&r->categories);
    lcf_rows_dispose(&r->rows);
    free(r);
    return status;
}
