/* Rows and wording of the tasks; see the header. */
#include "offline/ilm/tasks.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "offline/ilm/phase1_data.h"
#include "offline/recgen/facts.h"
#include "offline/recgen/prompt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PROMPTS_BYTES_MAX ((size_t)64 << 10)
enum { WHY_HISTORY_MIN = 3, PROFILE_TITLES = 3 };

const char *const LCF_ILM_TASK_NAMES[LCF_ILM_TASKS_N] = {"describe", "next",    "like",
                                                         "rating",   "profile", "why"};

static const char BUILTIN[] =
    "describe: Instruction: Describe the item.\\nItem:{item}\\nAnswer:\n"
    "next: Instruction: Given what the user chose, name the item that the user chooses next."
    "\\nUser:{user}\\nChosen: {history}\\nAnswer:\n"
    "like: Instruction: Given what the user chose, say whether the user likes the target item. "
    "Answer with Yes or No.\\nUser:{user}\\nChosen: {history}\\nTarget: {title}{item}\\nAnswer:\n"
    "rating: Instruction: Given what the user chose, say how the user rates the target item. "
    "Answer with a number.\\nUser:{user}\\nChosen: {history}\\nTarget: {title}{item}\\nAnswer:\n"
    "profile: Instruction: Describe the user.\\nUser:{user}\\nAnswer:\n"
    "why: Instruction: Given what the user chose, explain why the user likes the target item."
    "\\nUser:{user}\\nChosen: {history}\\nTarget: {title}{item}\\nAnswer:\n";

typedef struct row_list {
    uint32_t *list;
    size_t n, capacity;
} row_list;

struct lcf_ilm_tasks {
    const lcf_dataset *d;
    const lcf_cf_vectors *v;
    lcf_ilm_tasks_options o;
    row_list rows[LCF_ILM_TASKS_N][3];
    double shares[LCF_ILM_TASKS_N];
    lcf_ilm_prompts prompts;
};

lcf_status lcf_ilm_weights_parse(double weights[LCF_ILM_TASKS_N], const char *text, lcf_err *err)
{
    memset(weights, 0, LCF_ILM_TASKS_N * sizeof(*weights));
    while (*text) {
        const size_t len = strcspn(text, ","), name = strcspn(text, "=,");
        size_t task = 0;

        while (task < LCF_ILM_TASKS_N && (strlen(LCF_ILM_TASK_NAMES[task]) != name ||
                                          memcmp(text, LCF_ILM_TASK_NAMES[task], name) != 0))
            task++;
        if (task == LCF_ILM_TASKS_N || name == len ||
            !lcf_parse_f64(text + name + 1, len - name - 1, &weights[task]) || weights[task] < 0)
            return LCF_FAIL(err, LCF_EUSAGE,
                            "'%.*s': TASK=WEIGHT of describe, next, like, rating, profile and why",
                            (int)len, text);
        text += len + (text[len] == ',');
    }
    return LCF_OK;
}

/* ---- prompts ---- */

/* A line without its name: "\n" becomes a line break. */
static char *unescaped(lcf_str line)
{
    char *out = lcf_alloc(line.len + 1, 1), *to = out;

    for (size_t i = 0; out && i < line.len; i++) {
        const bool breaks = line.data[i] == '\\' && i + 1 < line.len && line.data[i + 1] == 'n';
        *to++ = breaks ? '\n' : line.data[i];
        i += breaks;
    }
    if (out)
        *to = '\0';
    return out;
}

static lcf_status parse_line(lcf_ilm_prompts *p, lcf_str line, const char *source, size_t number,
                             lcf_err *err)
{
    const char *colon = memchr(line.data, ':', line.len);
    const size_t name = colon ? (size_t)(colon - line.data) : line.len;
    lcf_buf where = LCF_BUF_INIT;
    lcf_status status;
    size_t task = 0;
    char *text;

    while (task < LCF_ILM_TASKS_N && (strlen(LCF_ILM_TASK_NAMES[task]) != name ||
                                      memcmp(line.data, LCF_ILM_TASK_NAMES[task], name) != 0))
        task++;
    if (!colon || task == LCF_ILM_TASKS_N)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "%s, line %zu: 'TASK: prompt' of describe, next, like, rating, profile and "
                        "why",
                        source, number);
    while (colon + 1 < line.data + line.len && colon[1] == ' ')
        colon++;
    text = unescaped((lcf_str){colon + 1, (size_t)(line.data + line.len - colon) - 1});
    lcf_buf_printf(&where, "%s, line %zu, the prompt of %s", source, number,
                   LCF_ILM_TASK_NAMES[task]);
    if (!text || where.status) {
        free(text);
        lcf_buf_dispose(&where);
        return LCF_FAIL(err, LCF_ENOMEM, "prompts");
    }
    free(p->texts[task]);
    p->texts[task] = text;
    status = lcf_soft_template_parse(&p->list[task], (lcf_str){text, strlen(text)},
                                     lcf_buf_text(&where), err);
    if (!status && !p->list[task].n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: it is empty", lcf_buf_text(&where));
    lcf_buf_dispose(&where);
    return status;
}

lcf_status lcf_ilm_prompts_parse(lcf_ilm_prompts *p, lcf_str text, const char *source, lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (!lcf_utf8_valid(text.data, text.len) || memchr(text.data, '\0', text.len))
        return LCF_FAIL(err, LCF_EFORMAT, "%s: not UTF-8 text", source);
    for (size_t at = 0, number = 1; at < text.len && !status; number++) {
        const char *end = memchr(text.data + at, '\n', text.len - at);
        const size_t len = end ? (size_t)(end - text.data) - at : text.len - at;

        if (len && text.data[at] != '#')
            status = parse_line(p, (lcf_str){text.data + at, len}, source, number, err);
        at += len + 1;
    }
    return status;
}

void lcf_ilm_prompts_dispose(lcf_ilm_prompts *p)
{
    for (size_t task = 0; task < LCF_ILM_TASKS_N; task++)
        free(p->texts[task]);
    memset(p, 0, sizeof(*p));
}

static lcf_status open_prompts(lcf_ilm_tasks *t, lcf_err *err)
{
    lcf_buf file = LCF_BUF_INIT;
    lcf_status status = lcf_ilm_prompts_parse(&t->prompts, (lcf_str){BUILTIN, sizeof(BUILTIN) - 1},
                                              "the built-in prompts", err);

    if (status || !t->o.prompts)
        return status;
    status = lcf_file_read(&file, t->o.prompts, PROMPTS_BYTES_MAX, err);
    if (!status)
        status = lcf_ilm_prompts_parse(&t->prompts, (lcf_str){lcf_buf_text(&file), file.len},
                                       t->o.prompts, err);
    lcf_buf_dispose(&file);
    return status;
}

/* ---- rows ---- */

static lcf_status push(row_list *rows, uint32_t number, lcf_err *err)
{
    if (lcf_grow((void **)&rows->list, &rows->capacity, rows->n + 1, sizeof(*rows->list)))
        return LCF_FAIL(err, LCF_ENOMEM, "rows of a task");
    rows->list[rows->n++] = number;
    return LCF_OK;
}

/* The rating that the sample's own event carries, or NaN. */
static float rating_of(const lcf_dataset *d, size_t sample)
{
    const size_t end = d->user_offsets[d->sample_user[sample] + 1];

    for (size_t i = d->sample_history_end[sample];
         i < end && d->event_time[i] <= d->sample_time[sample]; i++)
        if (d->event_item[i] == d->sample_item[sample] &&
            d->event_time[i] == d->sample_time[sample])
            return d->event_rating[i];
    return NAN;
}

/* Do ratings say more than liked or not? */
static bool has_ratings(const lcf_dataset *d)
{
    float seen[2];
    size_t n = 0;

    for (size_t i = 0; i < d->events_n; i++) {
        const float r = d->event_rating[i];

        if (isnan(r) || (n > 0 && r == seen[0]) || (n > 1 && r == seen[1]))
            continue;
        if (n == 2)
            return true;
        seen[n++] = r;
    }
    return false;
}

static bool is_kept(const lcf_strings *ids, uint32_t idx)
{
    return phase1_split_of(lcf_strings_get(ids, idx)) != LCF_TRAIN;
}

/* Does an answer of why, out of the items that a row shows, name one that is kept from training? */
static bool shows_kept(const lcf_ilm_tasks *t, const lcf_sample *s)
{
    const size_t n = s->history_n < t->o.history_n ? s->history_n : t->o.history_n;

    for (size_t i = s->history_n - n; i < s->history_n; i++)
        if (is_kept(&t->d->catalogue.item_id, s->history[i]))
            return true;
    return false;
}

/* A training row teaches no title beside the soft tokens of a user or an item that is kept. */
static lcf_status take_samples(lcf_ilm_tasks *t, lcf_err *err)
{
    const lcf_dataset *d = t->d;
    const bool rated = has_ratings(d);
    lcf_status status = LCF_OK;

    for (int split = 0; split < 3; split++)
        for (size_t i = d->split_begin[split]; i < d->split_begin[split + 1] && !status; i++) {
            const lcf_sample s = lcf_dataset_sample(d, i);
            const bool known = s.label && s.item, train = split == LCF_TRAIN;
            const bool kept_user = train && is_kept(&d->user_id, s.user);

            status = push(&t->rows[LCF_ILM_LIKE][split], (uint32_t)i, err);
            if (!status && known && s.history_n && !kept_user)
                status = push(&t->rows[LCF_ILM_NEXT][split], (uint32_t)i, err);
            if (!status && known && s.history_n >= WHY_HISTORY_MIN && !kept_user &&
                !(train && shows_kept(t, &s)))
                status = push(&t->rows[LCF_ILM_WHY][split], (uint32_t)i, err);
            if (!status && rated && !isnan(rating_of(d, i)))
                status = push(&t->rows[LCF_ILM_RATING][split], (uint32_t)i, err);
        }
    return status;
}

/* Items and users of the training split. */
static lcf_status take_entities(lcf_ilm_tasks *t, lcf_err *err)
{
    const lcf_dataset *d = t->d;
    const size_t items_n = d->catalogue.items_n;
    uint8_t *item_seen = lcf_alloc_zero(items_n, 1);
    uint32_t *last = lcf_alloc_zero(d->users_n, sizeof(*last)); /* a user's last sample + 1 */
    lcf_status status = item_seen && last ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "entities");

    for (size_t i = d->split_begin[LCF_TRAIN]; !status && i < d->split_begin[LCF_TRAIN + 1]; i++) {
        item_seen[d->sample_item[i]] = 1;
        if (lcf_dataset_sample(d, i).history_n >= PROFILE_TITLES)
            last[d->sample_user[i]] = (uint32_t)i + 1;
    }
    for (size_t i = 1; i < items_n && !status; i++)
        if (item_seen[i] && lcf_strings_get(&d->catalogue.title, i).len)
            status = push(&t->rows[LCF_ILM_DESCRIBE]
                                  [phase1_split_of(lcf_strings_get(&d->catalogue.item_id, i))],
                          (uint32_t)i, err);
    for (size_t i = 1; i < d->users_n && !status; i++)
        if (last[i])
            status =
                push(&t->rows[LCF_ILM_PROFILE][phase1_split_of(lcf_strings_get(&d->user_id, i))],
                     last[i] - 1, err);
    free(item_seen);
    free(last);
    return status;
}

static lcf_status take_shares(lcf_ilm_tasks *t, lcf_err *err)
{
    double sum = 0;

    for (size_t i = 0; i < LCF_ILM_TASKS_N; i++) {
        t->shares[i] = t->rows[i][LCF_TRAIN].n || i != LCF_ILM_RATING ? t->o.weights[i] : 0.0;
        if (t->shares[i] > 0 && !t->rows[i][LCF_TRAIN].n)
            return LCF_FAIL(err, LCF_EINVAL, "the task %s has no row to train on",
                            LCF_ILM_TASK_NAMES[i]);
        sum += t->shares[i];
    }
    if (!(sum > 0))
        return LCF_FAIL(err, LCF_EUSAGE, "no task has a weight");
    for (size_t i = 0; i < LCF_ILM_TASKS_N; i++)
        t->shares[i] /= sum;
    return LCF_OK;
}

lcf_status lcf_ilm_tasks_create(lcf_ilm_tasks **out, const lcf_dataset *d, const lcf_cf_vectors *v,
                                const lcf_ilm_tasks_options *options, lcf_err *err)
{
    lcf_ilm_tasks *t = lcf_alloc_zero(1, sizeof(*t));
    lcf_status status;

    *out = NULL;
    if (!t)
        return LCF_FAIL(err, LCF_ENOMEM, "tasks");
    t->d = d;
    t->v = v;
    t->o = *options;
    status = open_prompts(t, err);
    if (!status)
        status = take_samples(t, err);
    if (!status)
        status = take_entities(t, err);
    if (!status)
        status = take_shares(t, err);
    if (!status) {
        *out = t;
        t = NULL;
    }
    lcf_ilm_tasks_free(t);
    return status;
}

void lcf_ilm_tasks_free(lcf_ilm_tasks *t)
{
    if (!t)
        return;
    for (size_t task = 0; task < LCF_ILM_TASKS_N; task++)
        for (int split = 0; split < 3; split++)
            free(t->rows[task][split].list);
    lcf_ilm_prompts_dispose(&t->prompts);
    free(t);
}

double lcf_ilm_task_share(const lcf_ilm_tasks *t, lcf_ilm_task task)
{
    return t->shares[task];
}

lcf_ilm_rows lcf_ilm_task_rows(const lcf_ilm_tasks *t, lcf_ilm_task task, lcf_split split)
{
    const row_list *rows = &t->rows[task][split];

    return (lcf_ilm_rows){rows->list, rows->n};
}

/* ---- answers ---- */

static void put_title(lcf_buf *out, const lcf_ilm_tasks *t, uint32_t item)
{
    lcf_prompt_name(out, lcf_strings_get(&t->d->catalogue.title, item), t->o.title_bytes_max);
}

static void put_label(lcf_buf *out, const char *before, const lcf_strings *labels, uint32_t idx)
{
    const lcf_str label = lcf_strings_get(labels, idx);

    if (!lcf_label_is_telling(label))
        return;
    lcf_buf_append_text(out, before);
    lcf_prompt_name(out, label, SIZE_MAX);
}

static void describe(lcf_buf *out, const lcf_ilm_tasks *t, uint32_t item)
{
    const lcf_catalogue *c = &t->d->catalogue;

    put_title(out, t, item);
    put_label(out, ", ", &c->brand, c->item_brand[item]);
    for (uint64_t i = c->category_offsets[item]; i < c->category_offsets[item + 1]; i++)
        put_label(out, ", ", &c->category, c->item_categories[i]);
    lcf_buf_append_char(out, '.');
}

static void profile(lcf_buf *out, const lcf_ilm_tasks *t, const lcf_sample *s, size_t sample)
{
    const lcf_catalogue *c = &t->d->catalogue;
    lcf_facts f;

    lcf_facts_of(&f, t->d, NULL, t->o.history_n, sample);
    lcf_buf_append_text(out, "The user likes ");
    for (size_t i = s->history_n - PROFILE_TITLES; i < s->history_n; i++) {
        put_title(out, t, s->history[i]);
        lcf_buf_append_text(out, i + 1 < s->history_n ? "; " : "");
    }
    for (size_t i = 0; i < f.categories.n; i++)
        put_label(out, i ? ", " : "; mostly ", &c->category, f.categories.idx[i]);
    lcf_buf_append_char(out, '.');
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0.0;
}

/* The two of the shown items that are nearest to the target; the later one of equals. */
static void why(lcf_buf *out, const lcf_ilm_tasks *t, const lcf_soft_facts *f)
{
    const size_t dim = t->v->dim;
    const float *target = t->v->values + f->item * dim;
    size_t best[2] = {f->history_n, f->history_n};
    double score[2] = {-2, -2};

    for (size_t i = 0; i < f->history_n; i++) {
        const double c = cosine(target, t->v->values + f->history[i] * dim, dim);

        if (c >= score[0]) {
            score[1] = score[0];
            best[1] = best[0];
            score[0] = c;
            best[0] = i;
        } else if (c >= score[1]) {
            score[1] = c;
            best[1] = i;
        }
    }
    lcf_buf_append_text(out, "Because the user chose ");
    put_title(out, t, f->history[best[0]]);
    if (best[1] < f->history_n) {
        lcf_buf_append_text(out, " and ");
        put_title(out, t, f->history[best[1]]);
    }
    lcf_buf_append_char(out, '.');
}

static void make_answer(lcf_buf *out, const lcf_ilm_tasks *t, lcf_ilm_task task, uint32_t number,
                        const lcf_soft_facts *f)
{
    const lcf_sample s =
        task == LCF_ILM_DESCRIBE ? (lcf_sample){.item = 0} : lcf_dataset_sample(t->d, number);

    lcf_buf_reset(out);
    lcf_buf_append_char(out, ' ');
    switch (task) {
    case LCF_ILM_DESCRIBE:
        describe(out, t, number);
        return;
    case LCF_ILM_NEXT:
        put_title(out, t, f->item);
        return;
    case LCF_ILM_LIKE:
        lcf_buf_append_text(out, s.label ? "Yes" : "No");
        return;
    case LCF_ILM_RATING:
        lcf_buf_printf(out, "%g", (double)rating_of(t->d, number));
        return;
    case LCF_ILM_PROFILE:
        profile(out, t, &s, number);
        return;
    default:
        why(out, t, f);
    }
}

/* ---- tokens ---- */

void lcf_ilm_row_dispose(lcf_ilm_row *row)
{
    lcf_tokens_dispose(&row->tokens);
    lcf_buf_dispose(&row->answer);
    free(row->targets);
    memset(row, 0, sizeof(*row));
}

static lcf_soft_facts facts_of(const lcf_ilm_tasks *t, lcf_ilm_task task, uint32_t number,
                               size_t history_n)
{
    lcf_sample s;
    size_t n;

    if (task == LCF_ILM_DESCRIBE)
        return (lcf_soft_facts){0, number, NULL, 0};
    s = lcf_dataset_sample(t->d, number);
    n = s.history_n < history_n ? s.history_n : history_n;
    return (lcf_soft_facts){s.user, s.item, s.history + s.history_n - n, n};
}

/* The answer behind the prompt; all but its last token are read, all are targets. Yes, No and a
 * rating are whole with their words, a text with </s>. */
static lcf_status append_answer(lcf_ilm_row *row, const lcf_soft_form *form, lcf_ilm_task task,
                                lcf_err *err)
{
    const size_t prompt_n = row->tokens.n;
    const bool closes = task != LCF_ILM_LIKE && task != LCF_ILM_RATING;
    lcf_status status = lcf_tokenizer_encode(&row->tokens, form->tokenizer, row->answer.data,
                                             row->answer.len, false, err);

    if (!status && closes)
        status = lcf_tokens_push(&row->tokens, lcf_tokenizer_eos(form->tokenizer));
    if (!status)
        status = lcf_grow((void **)&row->targets, &row->targets_capacity, row->tokens.n,
                          sizeof(*row->targets));
    if (status)
        return LCF_FAIL(err, status, "answer of a row");
    for (size_t i = 0; i + 1 < row->tokens.n; i++)
        row->targets[i] = i + 1 < prompt_n ? -1 : (int32_t)row->tokens.ids[i + 1];
    row->targets_n = row->tokens.n - prompt_n;
    row->tokens.n--;
    return LCF_OK;
}

lcf_status lcf_ilm_row_make(lcf_ilm_row *row, const lcf_ilm_tasks *t, const lcf_soft_form *form,
                            lcf_ilm_task task, uint32_t number, bool answered, lcf_err *err)
{
    size_t history_n = t->o.history_n;

    for (;;) {
        const lcf_soft_facts f = facts_of(t, task, number, history_n);
        lcf_status status;

        row->tokens.n = row->targets_n = 0;
        make_answer(&row->answer, t, task, number, &f);
        status = row->answer.status
                     ? LCF_FAIL(err, row->answer.status, "answer of a row")
                     : lcf_soft_prompt(&row->tokens, &t->prompts.list[task], form, &f, err);
        if (!status && !row->tokens.n)
            status = LCF_FAIL(err, LCF_EINVAL, "a prompt of the task %s has no token",
                              LCF_ILM_TASK_NAMES[task]);
        if (!status && answered)
            status = append_answer(row, form, task, err);
        if (status || row->tokens.n <= t->o.cutoff)
            return status;
        if (f.history_n < 2)
            return LCF_FAIL(err, LCF_ELIMIT,
                            "a row of the task %s takes %zu tokens, the limit is "
                            "%zu",
                            LCF_ILM_TASK_NAMES[task], row->tokens.n, t->o.cutoff);
        history_n = f.history_n / 2;
    }
}
