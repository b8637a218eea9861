/*
 * Open Bandit data: one CSV per logging policy and campaign. Action item_id, position, reward
 * click, propensity propensity_score (action_prob, pscore in other releases), context the
 * user_feature_* columns as categories. The other columns (times, affinities) are not used, as in
 * the paper's benchmark.
 *
 * source   Saito, Aihara, Matsutani and Narita 2020, "Open Bandit Dataset and Pipeline"
 */
#include "offline/eval/ope/read.h"

#include "common/base/mem.h"
#include "offline/data/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_FEATURES_MAX 16
#define NO_COLUMN SIZE_MAX

enum { ITEM, POSITION, CLICK, PROPENSITY, COLUMNS_N };

static const char *const NAMES[COLUMNS_N][3] = {{"item_id", NULL, NULL},
                                                {"position", NULL, NULL},
                                                {"click", NULL, NULL},
                                                {"propensity_score", "action_prob", "pscore"}};

typedef struct reader {
    lcf_ope_log *log;
    lcf_rows rows;
    size_t columns_n, at[COLUMNS_N], user_feature[USER_FEATURES_MAX], user_features_n;
    lcf_buf text;
} reader;

static bool is_named(lcf_str field, const char *name)
{
    return name && field.len == strlen(name) && !memcmp(field.data, name, field.len);
}

static lcf_status read_header(reader *r, lcf_err *err)
{
    static const char user[] = "user_feature_";

    if (lcf_rows_next(&r->rows) != LCF_ROW_OK)
        return LCF_FAIL(err, LCF_EFORMAT, "%s:1: no header row", r->log->path);
    r->columns_n = r->rows.fields_n;
    for (size_t k = 0; k < COLUMNS_N; k++)
        r->at[k] = NO_COLUMN;
    for (size_t c = 0; c < r->columns_n; c++) {
        lcf_str field = r->rows.fields[c];
        for (size_t k = 0; k < COLUMNS_N; k++)
            for (size_t name = 0; name < 3; name++)
                if (is_named(field, NAMES[k][name]))
                    r->at[k] = c;
        if (field.len > sizeof(user) - 1 && !memcmp(field.data, user, sizeof(user) - 1) &&
            r->user_features_n < USER_FEATURES_MAX)
            r->user_feature[r->user_features_n++] = c;
    }
    for (size_t k = 0; k < COLUMNS_N; k++)
        if (r->at[k] == NO_COLUMN)
            return LCF_FAIL(err, LCF_EFORMAT, "%s:1: the column '%s' is missing", r->log->path,
                            NAMES[k][0]);
    return LCF_OK;
}

static lcf_status add_row(reader *r, lcf_err *err)
{
    lcf_ope_feature features[USER_FEATURES_MAX];
    size_t offsets[USER_FEATURES_MAX + 1] = {0};
    lcf_ope_row row = LCF_OPE_ROW_INIT;
    lcf_str position = r->rows.fields[r->at[POSITION]];

    row.line = r->rows.line;
    row.action = r->rows.fields[r->at[ITEM]];
    row.reward = lcf_ope_number(r->rows.fields[r->at[CLICK]]);
    row.propensity = lcf_ope_number(r->rows.fields[r->at[PROPENSITY]]);
    if (!lcf_parse_u64(position.data, position.len, &row.position))
        return lcf_ope_log_bad_row(r->log, row.line, "the position is not a whole number", err);
    lcf_buf_reset(&r->text);
    for (size_t k = 0; k < r->user_features_n; k++) {
        lcf_str field = r->rows.fields[r->user_feature[k]];
        lcf_buf_printf(&r->text, "user_feature_%zu=", k);
        lcf_buf_append(&r->text, field.data, field.len);
        offsets[k + 1] = r->text.len;
    }
    if (r->text.status)
        return LCF_FAIL(err, LCF_ENOMEM, "a row of %s", r->log->path);
    for (size_t k = 0; k < r->user_features_n; k++)
        features[k] = (lcf_ope_feature){
            {lcf_buf_text(&r->text) + offsets[k], offsets[k + 1] - offsets[k]}, 1, false};
    row.features = features;
    row.features_n = r->user_features_n;
    return lcf_ope_log_add(r->log, &row, err);
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

lcf_status lcf_ope_read_obd(lcf_ope_log *log, const char *data, size_t bytes_n, lcf_err *err)
{
    reader r = {.log = log};
    lcf_status status = lcf_rows_init(&r.rows, data, bytes_n, ',', true, err);

    if (!status)
        status = read_header(&r, err);
    if (!status)
        status = read_rows(&r, err);
    lcf_buf_dispose(&r.text);
    lcf_rows_dispose(&r.rows);
    return status;
}
