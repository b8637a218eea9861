/* Samples from a raw log: see samples.h. */
#include "offline/data/samples.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A sample before it has its place. `position` is the row's place in the log ordered by user and
 * time. */
typedef struct draft {
    int64_t time;
    uint64_t history_end;
    uint32_t user, item, position;
    uint8_t label, split;
} draft;

/* Everything the steps below share. */
typedef struct maker {
    const lcf_raw_log *log;
    const lcf_sample_options *options;
    lcf_samples *out;
    uint32_t *order;     /* [rows] rows by user, time, file */
    uint64_t *row_begin; /* [users + 1] into order */
    draft *drafts;
    size_t drafts_n, drafts_capacity;
    uint32_t *touched_by; /* [items] the last user who touched it; for negatives */
} maker;

static int by_time(const void *left, const void *right, void *arg)
{
    const lcf_raw_log *log = arg;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    if (log->row_time[a] != log->row_time[b])
        return log->row_time[a] < log->row_time[b] ? -1 : 1;
    return (a > b) - (a < b);
}

static bool is_ordered(const maker *m, uint64_t begin, uint64_t end)
{
    for (uint64_t i = begin; i + 1 < end; i++)
        if (m->log->row_time[m->order[i]] > m->log->row_time[m->order[i + 1]])
            return false;
    return true;
}

/* Fills order and row_begin: a counting sort by user, which keeps the file's order, then by time
 * where the file was not in that order. */
static void order_rows(maker *m)
{
    const lcf_raw_log *log = m->log;
    size_t users_n = log->user_id.n;

    for (size_t i = 0; i < log->rows_n; i++)
        m->row_begin[log->row_user[i] + 1]++;
    for (size_t u = 0; u < users_n; u++)
        m->row_begin[u + 1] += m->row_begin[u];
    for (size_t i = 0; i < log->rows_n; i++)
        m->order[m->row_begin[log->row_user[i]]++] = (uint32_t)i;
    for (size_t u = users_n; u > 0; u--)
        m->row_begin[u] = m->row_begin[u - 1];
    m->row_begin[0] = 0;
    for (size_t u = 0; u < users_n; u++) {
        uint64_t begin = m->row_begin[u], end = m->row_begin[u + 1];

        if (!is_ordered(m, begin, end))
            qsort_r(m->order + begin, end - begin, sizeof(*m->order), by_time, (void *)log);
    }
}

static void touch(maker *m, uint32_t user)
{
    for (uint64_t i = m->row_begin[user]; i < m->row_begin[user + 1]; i++)
        m->touched_by[m->log->row_item[m->order[i]]] = user;
}

/*
 * A bucket of n by a key, uniformly. One more bucket takes 1 / (n + 1) of the keys and leaves all
 * others where they were.
 *
 * source   Lamping and Veach 2014 (jump consistent hash)
 */
static uint32_t bucket_of(uint64_t key, uint32_t n)
{
    int64_t at = -1, next = 0;

    while (next < (int64_t)n) {
        at = next;
        key = key * 2862933555777941757u + 1;
        next = (int64_t)((double)(at + 1) * (0x1p31 / (double)((key >> 33) + 1)));
    }
    return (uint32_t)at;
}

static uint64_t hash_of(const lcf_intern *ids, uint32_t idx, uint64_t seed)
{
    const uint64_t begin = ids->offsets[idx];

    return lcf_hash64(ids->chars + begin, ids->offsets[idx + 1] - begin, seed);
}

/*
 * An item the user never touched, uniformly; 0 when there is none. It depends on the positive alone
 * as far as it can: further rows and items leave the negatives of earlier ones as they were, but
 * for the few that they take.
 */
static uint32_t draw_negative(const maker *m, uint32_t user, uint32_t row)
{
    const lcf_raw_log *log = m->log;
    const uint32_t items_n = (uint32_t)log->item_id.n;
    uint64_t key[3] = {hash_of(&log->user_id, user, m->options->seed),
                       hash_of(&log->item_id, log->row_item[row], 0), (uint64_t)log->row_time[row]};
    uint64_t least = UINT64_MAX;
    uint32_t best = 0;

    for (uint64_t attempt = 0; attempt < 32; attempt++) {
        const uint32_t item = 1 + bucket_of(lcf_hash64(key, sizeof(key), attempt), items_n - 1);

        if (m->touched_by[item] != user)
            return item;
    }
    /* A user who touched nearly everything: the least of the rest by another hash. */
    for (uint32_t item = 1; item < items_n; item++) {
        const uint64_t hash = lcf_hash64(key, sizeof(key), UINT64_MAX - item);

        if (m->touched_by[item] != user && hash <= least) {
            least = hash;
            best = item;
        }
    }
    return best;
}

static lcf_status push(maker *m, const draft *d)
{
    lcf_status status =
        lcf_grow((void **)&m->drafts, &m->drafts_capacity, m->drafts_n + 1, sizeof(*m->drafts));

    if (!status)
        m->drafts[m->drafts_n++] = *d;
    return status;
}

static bool is_liked(const maker *m, uint32_t row)
{
    return !m->log->has_ratings || m->log->row_rating[row] >= m->options->like;
}

/* The sample of one row and, without ratings, its negative. */
static lcf_status add_drafts(maker *m, uint32_t user, uint64_t position)
{
    uint32_t row = m->order[position];
    uint64_t left = m->row_begin[user + 1] - position;
    draft d = {m->log->row_time[row], m->out->events_n, user,     m->log->row_item[row],
               (uint32_t)position,    is_liked(m, row), LCF_TRAIN};
    lcf_status status;

    if (m->options->split == LCF_SPLIT_COLUMN)
        d.split = m->log->row_split[row];
    if (m->options->split == LCF_SPLIT_LEAVE_LAST && left <= 2)
        d.split = left == 1 ? LCF_TEST : LCF_VALID;
    status = push(m, &d);
    if (status || m->log->has_ratings)
        return status;
    d.item = draw_negative(m, user, row);
    d.label = 0;
    if (d.item)
        return push(m, &d);
    m->out->without_negative_n++;
    return LCF_OK;
}

static void add_event(maker *m, uint32_t row)
{
    lcf_samples *s = m->out;

    s->event_item[s->events_n] = m->log->row_item[row];
    s->event_time[s->events_n] = m->log->row_time[row];
    s->event_rating[s->events_n] = m->log->has_ratings ? m->log->row_rating[row] : NAN;
    s->events_n++;
}

static lcf_status walk_user(maker *m, uint32_t user)
{
    lcf_samples *s = m->out;

    s->user_offsets[user] = s->events_n;
    if (!m->log->has_ratings)
        touch(m, user);
    for (uint64_t i = m->row_begin[user]; i < m->row_begin[user + 1]; i++) {
        if (s->events_n - s->user_offsets[user] >= m->options->history_min) {
            lcf_status status = add_drafts(m, user, i);
            if (status)
                return status;
        }
        if (!m->options->history_liked || is_liked(m, m->order[i]))
            add_event(m, m->order[i]);
    }
    s->user_offsets[user + 1] = s->events_n;
    return LCF_OK;
}

/* The documented order of samples. */
static int by_place(const void *left, const void *right)
{
    const draft *a = left, *b = right;

    if (a->split != b->split)
        return a->split < b->split ? -1 : 1;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    if (a->position != b->position) /* by user, then time */
        return a->position < b->position ? -1 : 1;
    return (int)b->label - (int)a->label;
}

/* The first draft at or after the time that leaves `share` of the drafts behind it: rows of one
 * second stay together. */
static size_t border(const maker *m, double share)
{
    size_t behind = (size_t)((double)m->drafts_n * share), at = m->drafts_n - behind;

    if (!behind)
        return m->drafts_n;
    while (at && m->drafts[at - 1].time == m->drafts[at].time)
        at--;
    return at;
}

static void place_splits(maker *m)
{
    size_t *begin = m->out->split_begin, n = m->drafts_n;

    if (n)
        qsort(m->drafts, n, sizeof(*m->drafts), by_place);
    begin[0] = 0;
    begin[3] = n;
    if (m->options->split == LCF_SPLIT_TIME) {
        begin[LCF_TEST] = border(m, m->options->test_share);
        begin[LCF_VALID] = border(m, m->options->test_share + m->options->valid_share);
        if (begin[LCF_VALID] > begin[LCF_TEST])
            begin[LCF_VALID] = begin[LCF_TEST];
        return;
    }
    begin[LCF_VALID] = begin[LCF_TEST] = 0;
    for (size_t i = 0; i < n; i++) {
        begin[LCF_VALID] += m->drafts[i].split < LCF_VALID;
        begin[LCF_TEST] += m->drafts[i].split < LCF_TEST;
    }
}

static lcf_status store_samples(maker *m)
{
    lcf_samples *s = m->out;
    size_t n = m->drafts_n, split = 0;

    s->sample_user = lcf_alloc(n + 1, sizeof(*s->sample_user));
    s->sample_item = lcf_alloc(n + 1, sizeof(*s->sample_item));
    s->sample_label = lcf_alloc(n + 1, sizeof(*s->sample_label));
    s->sample_time = lcf_alloc(n + 1, sizeof(*s->sample_time));
    s->sample_history_end = lcf_alloc(n + 1, sizeof(*s->sample_history_end));
    s->sample_row = lcf_alloc(n + 1, sizeof(*s->sample_row));
    if (!s->sample_user || !s->sample_item || !s->sample_label || !s->sample_time ||
        !s->sample_history_end || !s->sample_row)
        return LCF_ENOMEM;
    s->samples_n = n;
    for (size_t i = 0; i < n; i++) {
        const draft *d = m->drafts + i;

        while (i >= s->split_begin[split + 1])
            split++;
        s->positives_n[split] += d->label;
        s->sample_user[i] = d->user;
        s->sample_item[i] = d->item;
        s->sample_label[i] = d->label;
        s->sample_time[i] = d->time;
        s->sample_history_end[i] = d->history_end;
        s->sample_row[i] = m->order[d->position];
    }
    return LCF_OK;
}

static lcf_status allocate(maker *m)
{
    size_t rows_n = m->log->rows_n, users_n = m->log->user_id.n, items_n = m->log->item_id.n;
    lcf_samples *s = m->out;

    m->order = lcf_alloc(rows_n, sizeof(*m->order));
    m->row_begin = lcf_alloc_zero(users_n + 1, sizeof(*m->row_begin));
    m->touched_by = lcf_alloc_zero(items_n, sizeof(*m->touched_by));
    s->user_offsets = lcf_alloc_zero(users_n + 1, sizeof(*s->user_offsets));
    s->event_item = lcf_alloc(rows_n, sizeof(*s->event_item));
    s->event_time = lcf_alloc(rows_n, sizeof(*s->event_time));
    s->event_rating = lcf_alloc(rows_n, sizeof(*s->event_rating));
    return m->order && m->row_begin && m->touched_by && s->user_offsets && s->event_item &&
                   s->event_time && s->event_rating
               ? LCF_OK
               : LCF_ENOMEM;
}

static void dispose(maker *m)
{
    free(m->order);
    free(m->row_begin);
    free(m->touched_by);
    free(m->drafts);
}

static lcf_status make(maker *m)
{
    lcf_status status = allocate(m);

    if (status)
        return status;
    order_rows(m);
    for (uint32_t user = 1; user < m->log->user_id.n && !status; user++)
        status = walk_user(m, user);
    if (status)
        return status;
    place_splits(m);
    return store_samples(m);
}

lcf_status lcf_samples_make(lcf_samples *out, const lcf_raw_log *log,
                            const lcf_sample_options *options, lcf_err *err)
{
    maker m;
    lcf_status status;

    LCF_ASSERT(options->split != LCF_SPLIT_AUTO);
    memset(out, 0, sizeof(*out));
    if (!log->rows_n)
        return LCF_FAIL(err, LCF_EINVAL, "the log has no interaction that can be read");
    if (options->history_liked && !log->has_ratings)
        return LCF_FAIL(err, LCF_EINVAL, "histories of liked items need a log with ratings");
    if (options->split == LCF_SPLIT_COLUMN && !log->has_splits)
        return LCF_FAIL(err, LCF_EINVAL, "the log has no column 'split' to take the splits from");
    memset(&m, 0, sizeof(m));
    m.log = log;
    m.options = options;
    m.out = out;
    status = make(&m);
    if (status)
        LCF_FAIL(err, status, "samples of %zu interactions: %s", log->rows_n,
                 lcf_status_text(status));
    else if (!out->split_begin[LCF_VALID])
        status = LCF_FAIL(err, LCF_EINVAL,
                          "no sample falls into train: %zu interactions of %zu users are too few "
                          "for this split",
                          log->rows_n, log->user_id.n - 1);
    dispose(&m);
    if (status)
        lcf_samples_dispose(out);
    return status;
}

void lcf_samples_dispose(lcf_samples *s)
{
    free(s->user_offsets);
    free(s->event_item);
    free(s->event_time);
    free(s->event_rating);
    free(s->sample_user);
    free(s->sample_item);
    free(s->sample_label);
    free(s->sample_time);
    free(s->sample_history_end);
    free(s->sample_row);
    memset(s, 0, sizeof(*s));
}
