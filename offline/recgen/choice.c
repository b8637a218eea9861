/* Multiple choice; see the header. A subject is read and asked by one task. */
#include "offline/recgen/choice.h"

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "offline/data/rows.h"
#include "offline/recgen/probe.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBJECTS_MAX 1024
#define FILE_BYTES_MAX ((size_t)64 << 20)
#define LETTERS 4

typedef struct subject {
    char *name;
    size_t right, asked, shots, cut_n;
} subject;

typedef struct exam {
    const lcf_tokenizer *tokenizer;
    const char *dir;
    const char *split; /* val or test */
    lcf_answers letters;
    lcf_probe *probe;
    subject subjects[SUBJECTS_MAX];
    size_t subjects_n, rows_each; /* at most so many of a subject; 0 = all */
} exam;

/* ---- questions ---- */

typedef struct questions { /* the texts of one file, one after another */
    lcf_buf text;
    size_t *ends;
    uint8_t *right; /* [n] 0 .. 3 */
    size_t n, ends_capacity, right_capacity;
} questions;

static void questions_dispose(questions *q)
{
    lcf_buf_dispose(&q->text);
    free(q->ends);
    free(q->right);
}

static lcf_str question_text(const questions *q, size_t idx)
{
    size_t begin = idx ? q->ends[idx - 1] : 0;

    return (lcf_str){lcf_buf_text(&q->text) + begin, q->ends[idx] - begin};
}

static lcf_status add_question(questions *q, const lcf_rows *row, const char *path, lcf_err *err)
{
    lcf_str letter = row->fields_n == LETTERS + 2 ? row->fields[LETTERS + 1] : (lcf_str){"", 0};

    if (letter.len != 1 || letter.data[0] < 'A' || letter.data[0] >= 'A' + LETTERS)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s:%zu: not a question: six fields are needed, the last of them a letter "
                        "from A to D",
                        path, row->line);
    lcf_buf_append(&q->text, row->fields[0].data, row->fields[0].len);
    for (size_t i = 0; i < LETTERS; i++) {
        lcf_buf_printf(&q->text, "\n%c. ", (char)('A' + i));
        lcf_buf_append(&q->text, row->fields[i + 1].data, row->fields[i + 1].len);
    }
    lcf_buf_append_text(&q->text, "\nAnswer:");
    if (q->text.status ||
        lcf_grow((void **)&q->ends, &q->ends_capacity, q->n + 1, sizeof(*q->ends)) ||
        lcf_grow((void **)&q->right, &q->right_capacity, q->n + 1, sizeof(*q->right)))
        return LCF_FAIL(err, LCF_ENOMEM, "questions of %s", path);
    q->ends[q->n] = q->text.len;
    q->right[q->n++] = (uint8_t)(letter.data[0] - 'A');
    return LCF_OK;
}

static lcf_status parse_questions(questions *q, const lcf_buf *text, const char *path, lcf_err *err)
{
    lcf_rows rows;
    lcf_row_result result = LCF_ROW_OK;
    lcf_status status = lcf_rows_init(&rows, lcf_buf_text(text), text->len, ',', true, err);

    if (status)
        return status;
    rows.bare_quotes = true; /* the published files have them */
    while (!status && (result = lcf_rows_next(&rows)) == LCF_ROW_OK)
        status = add_question(q, &rows, path, err);
    if (!status && result == LCF_ROW_BAD)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s:%zu: %s", path, rows.line, rows.reason);
    lcf_rows_dispose(&rows);
    return status;
}

/* Appends the path of a subject's file. */
static lcf_status append_path(lcf_buf *out, const exam *e, const char *split, const char *name,
                              lcf_err *err)
{
    lcf_buf_printf(out, "%s/%s/%s_%s.csv", e->dir, split, name, split);
    return out->status ? LCF_FAIL(err, out->status, "path of %s", name) : LCF_OK;
}

static lcf_status read_questions(questions *q, const exam *e, const char *split, const char *name,
                                 lcf_err *err)
{
    lcf_buf path = LCF_BUF_INIT, text = LCF_BUF_INIT;
    lcf_status status = append_path(&path, e, split, name, err);

    if (!status)
        status = lcf_file_read(&text, path.data, FILE_BYTES_MAX, err);
    if (!status)
        status = parse_questions(q, &text, path.data, err);
    lcf_buf_dispose(&path);
    lcf_buf_dispose(&text);
    return status;
}

/* ---- prompts ---- */

/* The heading and the first `shots` worked examples. */
static lcf_status encode_examples(lcf_tokens *out, const exam *e, const char *name,
                                  const questions *dev, size_t shots, lcf_err *err)
{
    lcf_buf text = LCF_BUF_INIT;
    lcf_status status;

    lcf_buf_append_text(&text, "The following are multiple choice questions (with answers) about ");
    for (const char *c = name; *c; c++)
        lcf_buf_append_char(&text, *c == '_' ? ' ' : *c);
    lcf_buf_append_text(&text, ".\n\n");
    for (size_t i = 0; i < shots; i++) {
        lcf_str q = question_text(dev, i);
        lcf_buf_append(&text, q.data, q.len);
        lcf_buf_printf(&text, " %c\n\n", (char)('A' + dev->right[i]));
    }
    out->n = 0;
    status = text.status || (lcf_tokenizer_adds_bos(e->tokenizer) &&
                             lcf_tokens_push(out, lcf_tokenizer_bos(e->tokenizer)))
                 ? LCF_FAIL(err, LCF_ENOMEM, "examples of %s", name)
                 : lcf_tokenizer_encode(out, e->tokenizer, text.data, text.len, true, err);
    lcf_buf_dispose(&text);
    return status;
}

static lcf_status encode_question(lcf_tokens *out, const exam *e, lcf_str text, lcf_err *err)
{
    lcf_status status;

    out->n = 0;
    status = lcf_tokenizer_encode(out, e->tokenizer, text.data, text.len, false, err);
    for (size_t i = 0; i < e->letters.common.n && !status; i++)
        status = lcf_tokens_push(out, e->letters.common.ids[i]);
    return status;
}

/* ---- asking ---- */

typedef struct asking { /* one subject's state */
    questions dev, val;
    lcf_tokens examples[LCF_CHOICE_SHOTS + 1]; /* by number of shots */
    lcf_tokens question;
    size_t shots; /* that the worker's beginning has; SIZE_MAX = none yet */
} asking;

static void asking_dispose(asking *a)
{
    questions_dispose(&a->dev);
    questions_dispose(&a->val);
    for (size_t i = 0; i <= LCF_CHOICE_SHOTS; i++)
        lcf_tokens_dispose(&a->examples[i]);
    lcf_tokens_dispose(&a->question);
}

/* Begins with as many examples as leave room for the question; cuts the question when none does. */
static lcf_status make_room(asking *a, const exam *e, subject *s, size_t worker, lcf_err *err)
{
    size_t context = lcf_probe_context(e->probe);
    size_t shots = a->dev.n < LCF_CHOICE_SHOTS ? a->dev.n : LCF_CHOICE_SHOTS;

    while (shots && a->examples[shots].n + a->question.n > context)
        shots--;
    if (a->examples[shots].n >= context)
        return LCF_FAIL(err, LCF_EUNSUPPORTED, "a context of %zu tokens has no room for a question",
                        context);
    if (a->examples[shots].n + a->question.n > context) {
        size_t room = context - a->examples[shots].n;
        memmove(a->question.ids, a->question.ids + a->question.n - room,
                room * sizeof(*a->question.ids));
        a->question.n = room;
        s->cut_n++;
    }
    s->shots += shots;
    if (shots == a->shots)
        return LCF_OK;
    a->shots = shots;
    return lcf_probe_begin(e->probe, worker, a->examples[shots].ids, a->examples[shots].n, err);
}

static lcf_status ask(asking *a, const exam *e, subject *s, size_t idx, size_t worker, lcf_err *err)
{
    lcf_status status = encode_question(&a->question, e, question_text(&a->val, idx), err);
    const float *logits;
    size_t best = 0;

    if (!status)
        status = make_room(a, e, s, worker, err);
    if (!status)
        status = lcf_probe_ask(&logits, e->probe, worker, a->question.ids, a->question.n, err);
    if (status)
        return status;
    for (size_t i = 1; i < LETTERS; i++)
        if (logits[e->letters.ids[i]] > logits[e->letters.ids[best]])
            best = i;
    s->asked++;
    s->right += best == a->val.right[idx];
    return LCF_OK;
}

static lcf_status ask_subject(void *arg, size_t task, size_t worker, lcf_err *err)
{
    exam *e = arg;
    subject *s = &e->subjects[task];
    asking a = {.shots = SIZE_MAX};
    lcf_status status = read_questions(&a.dev, e, "dev", s->name, err);
    size_t n;

    if (!status)
        status = read_questions(&a.val, e, e->split, s->name, err);
    for (size_t i = 0; i <= LCF_CHOICE_SHOTS && i <= a.dev.n && !status; i++)
        status = encode_examples(&a.examples[i], e, s->name, &a.dev, i, err);
    n = e->rows_each && e->rows_each < a.val.n ? e->rows_each : a.val.n;
    for (size_t i = 0; i < n && !status; i++)
        status = ask(&a, e, s, (size_t)((double)i * (double)a.val.n / (double)n), worker, err);
    asking_dispose(&a);
    return status;
}

/* ---- the exam ---- */

static int compare_subjects(const void *a, const void *b)
{
    return strcmp(((const subject *)a)->name, ((const subject *)b)->name);
}

static lcf_status add_subject(exam *e, const char *file, lcf_err *err)
{
    size_t len = strlen(file), tail = strlen("_dev.csv");

    if (len <= tail || strcmp(file + len - tail, "_dev.csv"))
        return LCF_OK;
    if (e->subjects_n == SUBJECTS_MAX)
        return LCF_FAIL(err, LCF_ELIMIT, "more than %d subjects in %s", SUBJECTS_MAX, e->dir);
    e->subjects[e->subjects_n].name = lcf_strndup(file, len - tail);
    if (!e->subjects[e->subjects_n].name)
        return LCF_FAIL(err, LCF_ENOMEM, "subjects of %s", e->dir);
    e->subjects_n++;
    return LCF_OK;
}

static lcf_status find_subjects(exam *e, lcf_err *err)
{
    char *path = lcf_path_join(e->dir, "dev"), *val = lcf_path_join(e->dir, "val");
    DIR *folder = path ? opendir(path) : NULL;
    const struct dirent *entry;
    lcf_status status = LCF_OK;

    e->split = val && lcf_path_exists(val) ? "val" : "test";
    if (!folder)
        status = LCF_FAIL(err, LCF_ENOENT, "%s: no folder dev with the worked examples", e->dir);
    while (!status && (entry = readdir(folder)))
        status = add_subject(e, entry->d_name, err);
    if (!status && !e->subjects_n)
        status = LCF_FAIL(err, LCF_ENOENT, "%s: no SUBJECT_dev.csv in its folder dev", e->dir);
    qsort(e->subjects, e->subjects_n, sizeof(*e->subjects), compare_subjects);
    if (folder)
        closedir(folder);
    free(path);
    free(val);
    return status;
}

static lcf_status run_exam(exam *e, const lcf_llama *model, size_t context_n, lcf_pool *pool,
                           lcf_err *err)
{
    static const char *const TEXTS[LETTERS] = {" A", " B", " C", " D"};
    lcf_status status = lcf_answers_find(&e->letters, e->tokenizer, TEXTS, LETTERS, err);

    if (!status)
        status = lcf_probe_create(&e->probe, model, context_n, lcf_pool_threads(pool), err);
    return status ? status : lcf_pool_run(pool, e->subjects_n, ask_subject, e, err);
}

lcf_status lcf_choice_measure(lcf_choice_result *out, const lcf_llama *model,
                              const lcf_tokenizer *tokenizer, const char *dir, size_t rows_max,
                              size_t context_n, lcf_pool *pool, lcf_err *err)
{
    exam *e = lcf_alloc_zero(1, sizeof(*e));
    lcf_status status;
    size_t shots = 0;

    *out = (lcf_choice_result){.accuracy = NAN};
    if (!e)
        return LCF_FAIL(err, LCF_ENOMEM, "multiple choice");
    e->tokenizer = tokenizer;
    e->dir = dir;
    status = find_subjects(e, err);
    if (!status && rows_max)
        e->rows_each = (rows_max + e->subjects_n - 1) / e->subjects_n;
    if (!status)
        status = run_exam(e, model, context_n, pool, err);
    for (size_t i = 0; i < e->subjects_n; i++) {
        out->rows += e->subjects[i].asked;
        out->right += e->subjects[i].right;
        out->cut_n += e->subjects[i].cut_n;
        shots += e->subjects[i].shots;
        free(e->subjects[i].name);
    }
    if (out->rows) {
        out->accuracy = (double)out->right / (double)out->rows;
        out->shots = (double)shots / (double)out->rows;
        lcf_choice_chance(&out->chance_low, &out->chance_high, out->rows);
    }
    lcf_probe_free(e->probe);
    lcf_answers_dispose(&e->letters);
    free(e);
    return status;
}

/* Appends "SPLIT/SUBJECT HASH" and a newline. */
static lcf_status append_digest(lcf_buf *out, const exam *e, const char *split, const char *name,
                                lcf_err *err)
{
    char hex[LCF_SHA256_HEX_BYTES];
    lcf_buf path = LCF_BUF_INIT;
    lcf_status status = append_path(&path, e, split, name, err);

    if (!status)
        status = lcf_sha256_file(hex, path.data, err);
    if (!status)
        lcf_buf_printf(out, "%s/%s %s\n", split, name, hex);
    lcf_buf_dispose(&path);
    return status;
}

lcf_status lcf_choice_describe(lcf_manifest *m, const char *dir, lcf_err *err)
{
    exam *e = lcf_alloc_zero(1, sizeof(*e));
    char hex[LCF_SHA256_HEX_BYTES];
    lcf_buf list = LCF_BUF_INIT;
    lcf_status status;

    if (!e)
        return LCF_FAIL(err, LCF_ENOMEM, "multiple choice");
    e->dir = dir;
    status = find_subjects(e, err);
    for (size_t i = 0; i < e->subjects_n && !status; i++) {
        status = append_digest(&list, e, "dev", e->subjects[i].name, err);
        if (!status)
            status = append_digest(&list, e, e->split, e->subjects[i].name, err);
    }
    if (!status && list.status)
        status = LCF_FAIL(err, list.status, "list of %s", dir);
    if (!status)
        status = lcf_sha256_hex(hex, list.data, list.len, err);
    if (!status)
        status = lcf_manifest_param_str(m, "choice", hex, err);
    for (size_t i = 0; i < e->subjects_n; i++)
        free(e->subjects[i].name);
    lcf_buf_dispose(&list);
    free(e);
    return status;
}

void lcf_choice_chance(double *low, double *high, size_t n)
{
    const double p = 1.0 / LETTERS;
    double below = 0.0; /* P(right < k) */
    bool found_low = false;

    *low = 0.0;
    *high = 1.0;
    for (size_t k = 0; k <= n; k++) {
        double x = (double)k, m = (double)n;
        double mass = exp(lgamma(m + 1.0) - lgamma(x + 1.0) - lgamma(m - x + 1.0) + x * log(p) +
                          (m - x) * log1p(-p));
        if (!found_low && below + mass > 0.025) {
            *low = x / m;
            found_low = true;
        }
        below += mass;
        if (below >= 0.975) {
            *high = x / m;
            return;
        }
    }
}
