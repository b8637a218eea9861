/*
 * Opening sources, choosing their rows, and their rows as text; see the header for the invariant.
 */
#include "offline/recgen/sources.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/store/cot_store.h"
#include "offline/recgen/sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_SELECT 0x500 /* of the generator that chooses a part of a source's rows */
#define STREAM_HOLD 7       /* seed of the hash that holds rows out: the same in every run */

typedef struct source {
    lcf_source_spec spec;
    lcf_dialogues dialogues; /* of a file; the texts of a CoT store */
    uint32_t *samples;       /* [dialogues.n] the sample that a chain of thought is about */
    size_t samples_capacity;
    uint32_t *rows, *held; /* a sample, or a row of `dialogues` */
    size_t rows_n, held_n;
    double share;
} source;

struct lcf_sources {
    const lcf_dataset *d;
    const lcf_related *related;
    lcf_sources_options options;
    lcf_prompt_template template;
    char *template_bytes;
    lcf_codes codes;
    source list[LCF_SOURCES_MAX];
    size_t n;
};

/* Whether its rows are whole dialogues, not made of samples when they are asked for. */
static bool is_conversation(const source *s)
{
    return s->spec.kind == LCF_SOURCE_SESSION || !lcf_source_is_of_dataset(s->spec.kind);
}

/* ---- rows of the dataset ---- */

/* The user's rating of the sample's item, or NaN: that of the event which the sample was made of.
 */
static float sample_rating(const lcf_dataset *d, size_t sample)
{
    size_t end = d->user_offsets[d->sample_user[sample] + 1];

    for (size_t i = d->sample_history_end[sample];
         i < end && d->event_time[i] <= d->sample_time[sample]; i++)
        if (d->event_item[i] == d->sample_item[sample] &&
            d->event_time[i] == d->sample_time[sample])
            return d->event_rating[i];
    return NAN;
}

static bool sample_serves(const lcf_dataset *d, lcf_source_kind kind, size_t sample)
{
    if (kind == LCF_SOURCE_NEXT)
        return d->sample_label[sample] && d->sample_item[sample] &&
               lcf_dataset_sample(d, sample).history_n;
    if (kind == LCF_SOURCE_RATING)
        return !isnan(sample_rating(d, sample));
    return true;
}

static lcf_status source_alloc(source *s, size_t n, lcf_err *err)
{
    s->rows = lcf_alloc(n + 1, sizeof(*s->rows));
    s->held = lcf_alloc(n + 1, sizeof(*s->held));
    return s->rows && s->held ? LCF_OK : LCF_FAIL(err, LCF_ENOMEM, "%zu training rows", n);
}

static lcf_status take_samples(source *s, const lcf_dataset *d, lcf_err *err)
{
    size_t begin = d->split_begin[LCF_TRAIN], end = d->split_begin[LCF_TRAIN + 1];
    lcf_status status = source_alloc(s, end - begin, err);

    for (size_t i = begin; !status && i < end; i++)
        if (sample_serves(d, s->spec.kind, i))
            s->rows[s->rows_n++] = (uint32_t)i;
    return status;
}

/* ---- chains of thought ---- */

typedef struct sample_key {
    lcf_hash128 hash;
    uint32_t sample;
} sample_key;

static int compare_keys(const void *a, const void *b)
{
    const sample_key *x = a, *y = b;
    int by_hash = memcmp(&x->hash, &y->hash, sizeof(x->hash));

    return by_hash ? by_hash : (x->sample > y->sample) - (x->sample < y->sample);
}

typedef struct cot_reading {
    source *s;
    sample_key *keys; /* [keys_n] sorted */
    size_t keys_n;
} cot_reading;

static const sample_key *find_sample(const cot_reading *c, lcf_hash128 hash)
{
    size_t low = 0, high = c->keys_n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(&c->keys[middle].hash, &hash, sizeof(hash)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->keys_n && !memcmp(&c->keys[low].hash, &hash, sizeof(hash)) ? &c->keys[low]
                                                                               : NULL;
}

static lcf_status keep_record(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    cot_reading *c = arg;
    source *s = c->s;
    const sample_key *key = find_sample(c, record->sample_hash);

    if (!key || record->reject_reason[0] || !record->text[0])
        return LCF_OK;
    if (lcf_grow((void **)&s->samples, &s->samples_capacity, s->dialogues.n + 1,
                 sizeof(*s->samples)))
        return LCF_FAIL(err, LCF_ENOMEM, "chains of thought");
    s->samples[s->dialogues.n] = key->sample;
    return lcf_dialogues_add(&s->dialogues,
                             &(lcf_turn){LCF_ROLE_ASSISTANT, {record->text, strlen(record->text)}},
                             1, err);
}

static lcf_status read_store(cot_reading *c, const char *path, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *store;
    lcf_status status = lcf_cot_store_open(&store, path, &options, err);

    if (status)
        return status;
    status = lcf_cot_store_each(store, keep_record, c, err);
    lcf_cot_store_close(store);
    return status;
}

static lcf_status take_cot(source *s, const lcf_dataset *d, const char *path, lcf_err *err)
{
    size_t begin = d->split_begin[LCF_TRAIN], n = d->split_begin[LCF_TRAIN + 1] - begin;
    cot_reading c = {.s = s, .keys = lcf_alloc(n + 1, sizeof(*c.keys)), .keys_n = n};
    lcf_status status;

    if (!c.keys)
        return LCF_FAIL(err, LCF_ENOMEM, "keys of %zu samples", n);
    for (size_t i = 0; i < n; i++)
        c.keys[i] = (sample_key){lcf_dataset_sample_hash(d, begin + i), (uint32_t)(begin + i)};
    qsort(c.keys, n, sizeof(*c.keys), compare_keys);
    status = read_store(&c, path, err);
    if (!status)
        status = source_alloc(s, s->dialogues.n, err);
    for (size_t i = 0; !status && i < s->dialogues.n; i++)
        s->rows[s->rows_n++] = (uint32_t)i;
    free(c.keys);
    return status;
}

/* ---- files ---- */

/* A number in [0, 1) from the question (of a row of plain text: the text). */
static double held_draw(const lcf_dialogues *g, size_t row)
{
    uint64_t hash = STREAM_HOLD;
    size_t turns = lcf_dialogues_turns_n(g, row);

    for (size_t i = 0; i < turns; i++) {
        lcf_turn turn = lcf_dialogues_turn(g, row, i);
        if (turn.role == LCF_ROLE_ASSISTANT && turns > 1)
            break;
        hash = lcf_hash64(turn.text.data, turn.text.len, hash);
    }
    return (double)(hash >> 11) * 0x1p-53;
}

static lcf_status take_file(source *s, const char *path, lcf_err *err)
{
    static const lcf_dialogue_form FORMS[LCF_SOURCE_KINDS_N] = {
        [LCF_SOURCE_ALPACA] = LCF_FORM_ALPACA,
        [LCF_SOURCE_SHAREGPT] = LCF_FORM_SHAREGPT,
        [LCF_SOURCE_OPENAI] = LCF_FORM_OPENAI,
        [LCF_SOURCE_TEXT] = LCF_FORM_TEXT,
    };
    lcf_status status = lcf_dialogues_load(&s->dialogues, FORMS[s->spec.kind], path, err);

    if (!status && s->dialogues.n > UINT32_MAX)
        status = LCF_FAIL(err, LCF_ELIMIT, "%s: %zu rows", path, s->dialogues.n);
    if (!status)
        status = source_alloc(s, s->dialogues.n, err);
    for (size_t i = 0; !status && i < s->dialogues.n; i++)
        if (held_draw(&s->dialogues, i) < s->spec.hold)
            s->held[s->held_n++] = (uint32_t)i;
        else
            s->rows[s->rows_n++] = (uint32_t)i;
    return status;
}

static lcf_status take_sessions(source *s, const lcf_sources *all, lcf_err *err)
{
    lcf_status status = lcf_sessions_make(&s->dialogues, all->d, &all->options.prompt, err);

    if (!status)
        status = source_alloc(s, s->dialogues.n, err);
    for (size_t i = 0; !status && i < s->dialogues.n; i++)
        s->rows[s->rows_n++] = (uint32_t)i;
    return status;
}

/* ---- opening ---- */

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Keeps the part of the rows that the spec asks for. */
static void select_rows(source *s, size_t idx, uint64_t seed)
{
    size_t n = (size_t)ceil(s->spec.part * (double)s->rows_n);
    lcf_rng rng;

    if (s->spec.rows && s->spec.rows < n)
        n = s->spec.rows;
    if (n == s->rows_n)
        return;
    lcf_rng_seed(&rng, seed, STREAM_SELECT + idx);
    lcf_rng_shuffle_u32(&rng, s->rows, s->rows_n);
    s->rows_n = n;
    qsort(s->rows, n, sizeof(*s->rows), compare_u32);
}

static lcf_status open_path(source *s, const lcf_sources *all, lcf_err *err)
{
    char *path = lcf_strndup(s->spec.path.data, s->spec.path.len);
    lcf_status status;

    if (!path)
        return LCF_FAIL(err, LCF_ENOMEM, "path of a source");
    status =
        s->spec.kind == LCF_SOURCE_COT ? take_cot(s, all->d, path, err) : take_file(s, path, err);
    free(path);
    return status;
}

/* Whether the prompts have words for sources of this kind. */
static lcf_status check_wording(const lcf_prompt_options *prompt, lcf_source_kind kind,
                                lcf_err *err)
{
    if (kind != LCF_SOURCE_DECIDE && kind != LCF_SOURCE_EXPLAIN && kind != LCF_SOURCE_COT)
        return LCF_OK;
    return lcf_prompt_need(prompt, kind != LCF_SOURCE_DECIDE, err);
}

static lcf_status open_source(lcf_sources *all, const lcf_source_spec *spec, lcf_err *err)
{
    source *s = &all->list[all->n];
    lcf_status status;

    s->dialogues = (lcf_dialogues)LCF_DIALOGUES_INIT;
    s->spec = *spec;
    all->n++;
    if (lcf_source_is_of_dataset(spec->kind) && !all->d)
        return LCF_FAIL(err, LCF_EUSAGE, "source '%s' needs a dataset", spec->text);
    status = check_wording(&all->options.prompt, spec->kind, err);
    if (status) {
        lcf_err_prefix(err, "source '%s'", spec->text);
        return status;
    }
    status = spec->path.len                     ? open_path(s, all, err)
             : spec->kind == LCF_SOURCE_SESSION ? take_sessions(s, all, err)
                                                : take_samples(s, all->d, err);
    if (status)
        return status;
    select_rows(s, all->n - 1, all->options.seed);
    if (!s->rows_n)
        return LCF_FAIL(err, LCF_EINVAL, "source '%s' has no row to train on%s", spec->text,
                        spec->kind == LCF_SOURCE_RATING ? ": the dataset has no ratings"
                        : spec->kind == LCF_SOURCE_COT
                            ? ": no accepted record of a training row of this dataset"
                        : s->held_n            ? ": all are held out"
                        : s->dialogues.empty_n ? ": its rows have no answer"
                                               : "");
    return LCF_OK;
}

/* ---- shares ---- */

static lcf_status share_by_weight(lcf_sources *s, lcf_err *err)
{
    double fixed = 0.0, weights = 0.0, left;

    for (size_t i = 0; i < s->n; i++) {
        fixed += s->list[i].spec.share;
        if (!(s->list[i].spec.share > 0.0))
            weights += s->list[i].spec.weight;
    }
    if (fixed > 1.0 + 1e-9)
        return LCF_FAIL(err, LCF_EUSAGE, "the shares of the sources add up to %g", fixed);
    if (!(fixed + weights > 0.0))
        return LCF_FAIL(err, LCF_EINVAL, "no source of the mixture has a weight");
    left = weights > 0.0 ? 1.0 - fixed : 0.0;
    for (size_t i = 0; i < s->n; i++) {
        const lcf_source_spec *spec = &s->list[i].spec;
        s->list[i].share = spec->share > 0.0 ? spec->share / (fixed + left)
                           : weights > 0.0   ? left * spec->weight / weights
                                             : 0.0;
    }
    return LCF_OK;
}

/* Gives the recommendation sources together the share that --mix asks for. */
static lcf_status share_by_group(lcf_sources *s, lcf_err *err)
{
    double wanted[2] = {1.0 - s->options.rec_share, s->options.rec_share}, sum[2] = {0.0, 0.0};

    for (size_t i = 0; i < s->n; i++)
        sum[s->list[i].spec.rec] += s->list[i].share;
    for (size_t g = 0; g < 2; g++)
        if (wanted[g] > 0.0 && !(sum[g] > 0.0))
            return LCF_FAIL(err, LCF_EINVAL, "a mixture with %g of %s, and no source of it",
                            wanted[g], g ? "recommendation" : "general rows");
    for (size_t i = 0; i < s->n; i++) {
        bool rec = s->list[i].spec.rec;
        s->list[i].share = sum[rec] > 0.0 ? s->list[i].share * wanted[rec] / sum[rec] : 0.0;
    }
    return LCF_OK;
}

/* The template and the codes that the options name. */
static lcf_status open_prompt(lcf_sources *s, lcf_err *err)
{
    lcf_sources_options *o = &s->options;
    const lcf_prompt_options given = o->prompt;
    lcf_status status = lcf_prompt_open(&o->prompt, &s->template, &s->template_bytes, &given,
                                        o->template_file, err);

    if (!status && o->codes && !s->d)
        return LCF_FAIL(err, LCF_EUSAGE, "codes are of a dataset, and there is none");
    return status || !s->d ? status
                           : lcf_prompt_open_codes(&o->prompt, &s->codes, o->codes, s->d,
                                                   o->template_file, err);
}

/* What there are words for. */
static lcf_status default_sources(lcf_sources_options *o, lcf_err *err)
{
    static const char *const DEFAULT[] = {"decide,weight=0.25", "explain,weight=0.75"};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < 2 && !status; i++)
        if (!lcf_prompt_need(&o->prompt, i == 1, NULL))
            status = lcf_source_parse(&o->list[o->n++], DEFAULT[i], err);
    return status;
}

static lcf_status open_all(lcf_sources *s, lcf_err *err)
{
    lcf_sources_options *o = &s->options;
    lcf_status status = open_prompt(s, err);

    if (!status && !o->n)
        status = default_sources(o, err);
    for (size_t i = 0; i < o->n && !status; i++)
        status = open_source(s, &o->list[i], err);
    if (!status)
        status = share_by_weight(s, err);
    if (!status && isfinite(o->rec_share))
        status = share_by_group(s, err);
    return status;
}

lcf_status lcf_sources_open(lcf_sources **out, const lcf_dataset *d, const lcf_related *related,
                            const lcf_sources_options *options, lcf_err *err)
{
    lcf_sources *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "sources");
    s->d = d;
    s->related = related;
    s->options = *options;
    s->options.chat = lcf_sources_chat(options);
    status = open_all(s, err);
    if (!status) {
        *out = s;
        s = NULL;
    }
    lcf_sources_free(s);
    return status;
}

void lcf_sources_free(lcf_sources *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        lcf_dialogues_dispose(&s->list[i].dialogues);
        free(s->list[i].samples);
        free(s->list[i].rows);
        free(s->list[i].held);
    }
    lcf_codes_close(&s->codes);
    free(s->template_bytes);
    free(s);
}

size_t lcf_sources_n(const lcf_sources *s)
{
    return s->n;
}

lcf_source_info lcf_sources_info(const lcf_sources *s, size_t idx)
{
    const source *one = &s->list[idx];

    return (lcf_source_info){&one->spec, one->rows_n, one->held_n, one->dialogues.empty_n,
                             one->share};
}

const lcf_sources_options *lcf_sources_get_options(const lcf_sources *s)
{
    return &s->options;
}

const lcf_dataset *lcf_sources_dataset(const lcf_sources *s)
{
    return s->d;
}

uint32_t lcf_sources_row(const lcf_sources *s, size_t idx, size_t i)
{
    return s->list[idx].rows[i];
}

uint32_t lcf_sources_held(const lcf_sources *s, size_t idx, size_t i)
{
    return s->list[idx].held[i];
}

/* ---- trimming ---- */

void lcf_trim_init(lcf_trim *trim, const lcf_sources *s)
{
    *trim = (lcf_trim){s->options.prompt.history_n, {0, 0}};
}

/* Bytes of the last question's input that have to go for the prompt to fit, by its bytes per token;
 * 0 when it fits or nothing is left. */
static size_t input_excess(const lcf_dialogue_trim *trim, const lcf_dialogues *g, uint32_t row,
                           size_t prompt_n, size_t answer_n, size_t cutoff)
{
    size_t room = answer_n < cutoff / 2 ? cutoff - answer_n : cutoff / 2;
    size_t bytes = lcf_chat_input_bytes(g, row);
    size_t left = bytes > trim->input_bytes ? bytes - trim->input_bytes : 0, excess;

    if (prompt_n <= room)
        return 0;
    excess = (prompt_n - room) * 2; /* at least two bytes to a token, but for bytes themselves */
    return excess < left ? excess : left;
}

bool lcf_trim_more(lcf_trim *trim, const lcf_sources *s, size_t idx, uint32_t row, size_t prompt_n,
                   size_t answer_n, size_t cutoff)
{
    const source *one = &s->list[idx];
    size_t excess;

    if (!is_conversation(one)) {
        if (trim->history_n <= 1)
            return false;
        trim->history_n--;
        return true;
    }
    if (lcf_dialogues_turns_n(&one->dialogues, row) == 1)
        return false;
    if (trim->dialogue.exchanges + 1 < lcf_chat_exchanges(&one->dialogues, row)) {
        trim->dialogue.exchanges++;
        return true;
    }
    excess = input_excess(&trim->dialogue, &one->dialogues, row, prompt_n, answer_n, cutoff);
    trim->dialogue.input_bytes += excess;
    return excess > 0;
}

/* ---- rows as text ---- */

static lcf_str view(const char *text)
{
    return (lcf_str){text, strlen(text)};
}

lcf_status lcf_prompt_segments(lcf_segments *out, const lcf_prompt_options *options,
                               const lcf_dataset *d, const lcf_facts *f, bool explain, lcf_err *err)
{
    const char *answer = lcf_prompt_answer(f->sample.label);
    lcf_buf all = LCF_BUF_INIT;
    size_t begin = out->text.len, skip;
    lcf_status status;

    if (explain && options->dialect != LCF_DIALECT_RECGEN) {
        lcf_prompt_explain(&out->text, options, d, f);
        return lcf_segments_cut(out, true, false, false, err);
    }
    lcf_prompt_decide(&out->text, options, d, f);
    status = lcf_segments_cut(out, true, false, false, err);
    if (status || !explain)
        return status;
    /* The explanation goes on behind the same bytes: its prompt ends with them and the answer. */
    skip = out->text.len - begin + strlen(answer);
    lcf_buf_append_text(&out->text, answer);
    status = lcf_segments_cut(out, false, true, false, err);
    lcf_prompt_explain(&all, options, d, f);
    if (!status && all.status)
        status = LCF_FAIL(err, all.status, "prompt text");
    if (!status) {
        lcf_buf_append(&out->text, all.data + skip, all.len - skip);
        status = lcf_segments_cut(out, false, false, false, err);
    }
    lcf_buf_dispose(&all);
    return status;
}

static bool asks_alone(const lcf_prompt_options *prompt)
{
    return prompt->template && prompt->template->ask.len;
}

/* decide, explain and cot. `text`: the chain of thought, or NULL for the teacher's. */
static lcf_status decision_segments(lcf_segments *out, const lcf_sources *s,
                                    const lcf_prompt_options *prompt, bool explain, size_t sample,
                                    const lcf_str *text, uint64_t teacher_seed, lcf_err *err)
{
    lcf_status status;
    lcf_facts f;

    lcf_facts_of(&f, s->d, s->related, prompt->history_n, sample);
    status = lcf_prompt_segments(out, prompt, s->d, &f, explain, err);
    if (status)
        return status;
    if (!explain)
        lcf_buf_append_text(&out->text, lcf_prompt_answer(f.sample.label));
    else if (!text)
        lcf_teacher_compose(&out->text, prompt, s->d, &f, teacher_seed);
    else {
        lcf_buf_append_char(&out->text, ' ');
        lcf_buf_append(&out->text, text->data, text->len);
    }
    /* What a question of its own asks for is one word: there is no end to learn behind it. */
    return lcf_segments_cut(out, false, true, explain || !asks_alone(prompt), err);
}

static void append_titles(lcf_buf *out, const lcf_prompt_options *prompt, const lcf_catalogue *c,
                          const char *heading, const uint32_t *items, size_t n)
{
    if (!n)
        return;
    lcf_buf_append_text(out, heading);
    for (size_t i = 0; i < n; i++) {
        lcf_buf_append_text(out, i ? "; " : " ");
        lcf_prompt_title(out, prompt, c, items[i]);
    }
    lcf_buf_append_char(out, '\n');
}

/* next and rating: an instruction like one of a file, in the template of those. */
typedef struct task_text {
    const char *instruction;
    lcf_buf input, answer;
} task_text;

static lcf_status make_task(task_text *t, const lcf_sources *s, const lcf_prompt_options *prompt,
                            bool rating, size_t sample, lcf_err *err)
{
    const lcf_catalogue *c = &s->d->catalogue;
    lcf_facts f;

    t->instruction = rating ? "Given what the user liked and did not like, say how the user rates "
                              "the target item. Answer with a number."
                            : "Given what the user liked and did not like, name the item that the "
                              "user chooses next.";
    lcf_facts_of(&f, s->d, NULL, prompt->history_n, sample);
    append_titles(&t->input, prompt, c, f.rated ? "Liked:" : "Chosen:", f.liked, f.liked_n);
    append_titles(&t->input, prompt, c, "Not liked:", f.disliked, f.disliked_n);
    if (rating) {
        append_titles(&t->input, prompt, c, "Target:", &f.sample.item, 1);
        lcf_buf_printf(&t->answer, "%g", (double)sample_rating(s->d, sample));
    } else {
        lcf_prompt_title(&t->answer, prompt, c, f.sample.item);
    }
    if (t->input.len)
        t->input.data[--t->input.len] = '\0'; /* the last newline */
    if (t->input.status || t->answer.status)
        return LCF_FAIL(err, LCF_ENOMEM, "training row");
    return LCF_OK;
}

static lcf_str text_of(const lcf_buf *buf)
{
    return (lcf_str){lcf_buf_text(buf), buf->len};
}

static lcf_status task_segments(lcf_segments *out, const lcf_sources *s,
                                const lcf_prompt_options *prompt, bool rating, size_t sample,
                                lcf_err *err)
{
    task_text t = {NULL, LCF_BUF_INIT, LCF_BUF_INIT};
    lcf_status status = make_task(&t, s, prompt, rating, sample, err);

    if (!status)
        status = lcf_chat_exchange(out, s->options.chat, (lcf_str){"", 0}, view(t.instruction),
                                   text_of(&t.input), text_of(&t.answer), true, err);
    lcf_buf_dispose(&t.input);
    lcf_buf_dispose(&t.answer);
    return status;
}

lcf_status lcf_sources_segments(lcf_segments *out, const lcf_sources *s, size_t idx, uint32_t row,
                                const lcf_trim *trim, uint64_t teacher_seed, lcf_err *err)
{
    const source *one = &s->list[idx];
    lcf_prompt_options prompt = s->options.prompt;
    lcf_str text;

    prompt.history_n = trim->history_n;
    switch (one->spec.kind) {
    case LCF_SOURCE_DECIDE:
    case LCF_SOURCE_EXPLAIN:
        return decision_segments(out, s, &prompt, one->spec.kind == LCF_SOURCE_EXPLAIN, row, NULL,
                                 teacher_seed, err);
    case LCF_SOURCE_COT:
        text = lcf_dialogues_turn(&one->dialogues, row, 0).text;
        return decision_segments(out, s, &prompt, true, one->samples[row], &text, 0, err);
    case LCF_SOURCE_NEXT:
    case LCF_SOURCE_RATING:
        return task_segments(out, s, &prompt, one->spec.kind == LCF_SOURCE_RATING, row, err);
    default:
        return lcf_chat_segments(out, s->options.chat, &one->dialogues, row, &trim->dialogue, err);
    }
}

/* ---- rows as dialogues ---- */

static lcf_status task_dialogue(lcf_dialogues *out, const lcf_sources *s, bool rating,
                                size_t sample, lcf_err *err)
{
    task_text t = {NULL, LCF_BUF_INIT, LCF_BUF_INIT};
    lcf_status status = make_task(&t, s, &s->options.prompt, rating, sample, err);
    lcf_turn turns[] = {{LCF_ROLE_USER, view(t.instruction)},
                        {LCF_ROLE_INPUT, text_of(&t.input)},
                        {LCF_ROLE_ASSISTANT, text_of(&t.answer)}};

    if (!status)
        status = lcf_dialogues_add(out, turns, 3, err);
    lcf_buf_dispose(&t.input);
    lcf_buf_dispose(&t.answer);
    return status;
}

static lcf_status file_dialogue(lcf_dialogues *out, const lcf_dialogues *g, uint32_t row,
                                lcf_err *err)
{
    size_t n = lcf_dialogues_turns_n(g, row);
    lcf_turn *turns = lcf_alloc(n, sizeof(*turns));
    lcf_status status;

    if (!turns)
        return LCF_FAIL(err, LCF_ENOMEM, "%zu turns", n);
    for (size_t i = 0; i < n; i++)
        turns[i] = lcf_dialogues_turn(g, row, i);
    status = lcf_dialogues_add(out, turns, n, err);
    free(turns);
    return status;
}

/* Takes `open` from the start and `close` from the end of a text that has both. */
static bool unwrap(lcf_str *text, const char *open, const char *close)
{
    size_t a = strlen(open), b = strlen(close);

    if (text->len < a + b || memcmp(text->data, open, a) ||
        memcmp(text->data + text->len - b, close, b))
        return false;
    *text = (lcf_str){text->data + a, text->len - a - b};
    return true;
}

/* The turns of a prompt: in the llama2 dialect without its markers, which no name in it can hold.
 */
static size_t prompt_turns(lcf_turn *turns, lcf_str text)
{
    static const char end[] = "\n<</SYS>>\n\n";
    const char *system_end;
    size_t n;

    turns[0] = (lcf_turn){LCF_ROLE_USER, text};
    if (!unwrap(&turns[0].text, "[INST] ", " [/INST]"))
        return 1;
    text = turns[0].text;
    system_end = memmem(text.data, text.len, end, strlen(end));
    if (!system_end || !unwrap(&text, "<<SYS>>\n", ""))
        return 1;
    n = (size_t)(system_end - text.data);
    turns[0] = (lcf_turn){LCF_ROLE_SYSTEM, {text.data, n}};
    turns[1] = (lcf_turn){LCF_ROLE_USER, {system_end + strlen(end), text.len - n - strlen(end)}};
    return 2;
}

static lcf_status segments_dialogue(lcf_dialogues *out, const lcf_segments *segments, lcf_err *err)
{
    lcf_turn turns[8];
    size_t n = 0;

    for (size_t i = 0; i < segments->n; i++) {
        lcf_str text = lcf_segments_text(segments, i);
        LCF_ASSERT(n + 2 <= sizeof(turns) / sizeof(turns[0]));
        if (!segments->list[i].answer) {
            n += prompt_turns(turns + n, text);
            continue;
        }
        unwrap(&text, " ", "");
        turns[n++] = (lcf_turn){LCF_ROLE_ASSISTANT, text};
    }
    return lcf_dialogues_add(out, turns, n, err);
}

lcf_status lcf_sources_dialogue(lcf_dialogues *out, const lcf_sources *s, size_t idx, uint32_t row,
                                uint64_t teacher_seed, lcf_err *err)
{
    const source *one = &s->list[idx];
    lcf_segments segments = {.n = 0};
    lcf_status status;
    lcf_trim trim;

    if (is_conversation(one))
        return file_dialogue(out, &one->dialogues, row, err);
    if (one->spec.kind == LCF_SOURCE_NEXT || one->spec.kind == LCF_SOURCE_RATING)
        return task_dialogue(out, s, one->spec.kind == LCF_SOURCE_RATING, row, err);
    lcf_trim_init(&trim, s);
    status = lcf_sources_segments(&segments, s, idx, row, &trim, teacher_seed, err);
    if (!status)
        status = segments_dialogue(out, &segments, err);
    lcf_segments_dispose(&segments);
    return status;
}

lcf_status lcf_sources_sample(lcf_segments *out, const lcf_sources *s, lcf_source_kind kind,
                              size_t sample, uint64_t teacher_seed, lcf_err *err)
{
    return decision_segments(out, s, &s->options.prompt, kind == LCF_SOURCE_EXPLAIN, sample, NULL,
                             teacher_seed, err);
}
