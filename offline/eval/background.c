/* Readers of what surrounds a comparison. */
#include "offline/eval/background.h"

#include "common/base/file.h"
#include "common/data/predictions.h"

#include <stdlib.h>
#include <string.h>

/* A split that was not predicted has no scores. */
static lcf_status read_scores(lcf_score_sample *out, const char *dir, const char *split,
                              lcf_err *err)
{
    lcf_buf path = LCF_BUF_INIT;
    lcf_predictions p;
    lcf_status status;

    *out = (lcf_score_sample){.n = 0};
    lcf_buf_printf(&path, "%s/%s.lcf", dir, split);
    if (path.status) {
        status = LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    } else if (!lcf_path_exists(lcf_buf_text(&path))) {
        status = LCF_OK;
    } else {
        status = lcf_predictions_open(&p, lcf_buf_text(&path), err);
        if (!status) {
            status = lcf_score_sample_init(out, p.scores, p.seeds_n * p.rows_n, err);
            if (status)
                lcf_err_prefix(err, "%s", lcf_buf_text(&path));
            lcf_predictions_close(&p);
        }
    }
    lcf_buf_dispose(&path);
    return status;
}

lcf_status lcf_background_read(lcf_background *out, const char *const *arm_dir,
                               const char *const *latency_path, const char *split, bool any_score,
                               lcf_err *err)
{
    lcf_status status = LCF_OK;

    out->other_split = strcmp(split, "test") ? "test" : "valid";
    for (size_t a = 0; a < LCF_ARMS && !status; a++) {
        status = lcf_training_read(&out->training[a], arm_dir[a], err);
        if (!status && !any_score)
            status = read_scores(&out->elsewhere[a], arm_dir[a], out->other_split, err);
        if (!status && latency_path[a])
            status = lcf_latency_read(&out->latency[a], latency_path[a], err);
    }
    return status;
}

void lcf_background_dispose(lcf_background *b)
{
    for (size_t a = 0; a < LCF_ARMS; a++) {
        lcf_training_dispose(&b->training[a]);
        lcf_score_sample_dispose(&b->scores[a]);
        lcf_score_sample_dispose(&b->elsewhere[a]);
    }
    json_decref(b->sources);
    free(b->command);
    memset(b, 0, sizeof(*b));
}

void lcf_shell_quote(lcf_buf *out, const char *text)
{
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./=:,+@%";

    if (*text && strspn(text, PLAIN) == strlen(text)) {
        lcf_buf_append_text(out, text);
        return;
    }
    lcf_buf_append_char(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            lcf_buf_append_text(out, "'\\'");
        lcf_buf_append_char(out, *text);
    }
    lcf_buf_append_char(out, '\'');
}
