/* Folders with predictions as arms of a comparison. */
#include "offline/eval/arm_files.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/eval/score_files.h"
#include "offline/eval/score_rows.h"

#include <stdlib.h>
#include <string.h>

static lcf_str last_part(const char *path)
{
    size_t end = strlen(path), begin;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    return (lcf_str){path + begin, end - begin};
}

static bool is_shared(const char *const *dirs, size_t n, size_t which)
{
    lcf_str own = last_part(dirs[which]);

    for (size_t i = 0; i < n; i++) {
        lcf_str other = last_part(dirs[i]);
        if (i != which && own.len == other.len && !memcmp(own.data, other.data, own.len))
            return true;
    }
    return false;
}

lcf_status lcf_arm_names(char **names, const char *const *dirs, size_t n, lcf_err *err)
{
    for (size_t i = 0; i < n; i++) {
        lcf_str part = last_part(dirs[i]);
        names[i] = is_shared(dirs, n, i) ? lcf_strdup(dirs[i]) : lcf_strndup(part.data, part.len);
        if (!names[i]) {
            while (i > 0)
                free(names[--i]);
            return LCF_FAIL(err, LCF_ENOMEM, "names of %zu arms", n);
        }
    }
    return LCF_OK;
}

lcf_status lcf_arm_path(char **out, const char *dir, const char *split, lcf_err *err)
{
    lcf_buf name = LCF_BUF_INIT;
    char *path;

    lcf_buf_printf(&name, "%s.lcf", split);
    path = lcf_score_rows_named(dir) ? lcf_strdup(dir)
           : name.status             ? NULL
                                     : lcf_path_join(dir, lcf_buf_text(&name));
    lcf_buf_dispose(&name);
    *out = path;
    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path of %s", dir);
    if (lcf_path_exists(path))
        return LCF_OK;
    if (lcf_score_rows_named(dir))
        LCF_FAIL(err, LCF_ENOENT, "%s: no such file", path);
    else
        LCF_FAIL(err, LCF_ENOENT,
                 "%s: no such file; `llmcf train` writes the predictions of the %s split there",
                 path, split);
    free(path);
    *out = NULL;
    return LCF_ENOENT;
}

static lcf_status open_predictions(lcf_eval_table *out, const char *const paths[LCF_ARMS],
                                   const lcf_table_allow *allow, lcf_err *err)
{
    lcf_predictions arms[LCF_ARMS] = {{0}, {0}};
    lcf_status status = LCF_OK;

    for (size_t a = 0; a < LCF_ARMS && !status; a++)
        status = lcf_predictions_open(&arms[a], paths[a], err);
    if (!status) {
        status = lcf_eval_table_align(out, &arms[0], &arms[1], allow, err);
        if (status)
            lcf_err_prefix(err, "A is %s, B is %s", paths[0], paths[1]);
    }
    for (size_t a = 0; a < LCF_ARMS; a++)
        lcf_predictions_close(&arms[a]);
    return status;
}

lcf_status lcf_arm_table(lcf_eval_table *out, const char *path_a, const char *path_b,
                         const lcf_table_allow *allow, lcf_err *err)
{
    bool plain = lcf_score_rows_named(path_a);

    if (plain != lcf_score_rows_named(path_b))
        return LCF_FAIL(err, LCF_EUSAGE,
                        "A is %s and B is %s: compare two rankers or two files of scores", path_a,
                        path_b);
    return plain ? lcf_score_files_table(out, path_a, path_b, allow, err)
                 : open_predictions(out, (const char *const[]){path_a, path_b}, allow, err);
}
