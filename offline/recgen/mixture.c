/*
 * The tuning mixture; see the header for the invariant. The draw of a slot's source hashes the slot
 * number, so no generator state has to be saved; a source's position is the number of slots that
 * drew it before.
 */
#include "offline/recgen/mixture.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_SOURCE 101 /* seeds of the independent draws */
#define STREAM_TEACHER 102

typedef struct source_order {
    uint32_t *order; /* [n] this epoch's permutation of the source's rows */
    size_t n;
    double share;
    uint64_t drawn; /* slots that took a row so far */
    uint64_t epoch; /* that `order` is of, plus 1; 0 = none yet */
} source_order;

/* What a token is to the loss. */
enum { MARK_PROMPT, MARK_ANSWER, MARK_NEVER };

struct lcf_mixture {
    const lcf_sources *sources;
    const lcf_tokenizer *tokenizer;
    lcf_mixture_options options;
    uint64_t seed;
    source_order list[LCF_SOURCES_MAX];
    size_t n;
    uint64_t slot, truncated_n, lost_n;
    lcf_segments text; /* scratch */
    uint8_t *marks;    /* [tokens] scratch */
    size_t marks_capacity;
};

void lcf_row_dispose(lcf_row *row)
{
    lcf_tokens_dispose(&row->tokens);
    free(row->targets);
    memset(row, 0, sizeof(*row));
}

/* ---- creation ---- */

static lcf_status open_orders(lcf_mixture *m, lcf_err *err)
{
    m->n = lcf_sources_n(m->sources);
    for (size_t i = 0; i < m->n; i++) {
        lcf_source_info info = lcf_sources_info(m->sources, i);
        m->list[i].n = info.rows_n;
        m->list[i].share = info.share;
        m->list[i].order = lcf_alloc(info.rows_n, sizeof(*m->list[i].order));
        if (!m->list[i].order)
            return LCF_FAIL(err, LCF_ENOMEM, "order of %zu training rows", info.rows_n);
    }
    return LCF_OK;
}

lcf_status lcf_mixture_create(lcf_mixture **out, const lcf_sources *sources,
                              const lcf_tokenizer *tokenizer, const lcf_mixture_options *options,
                              lcf_err *err)
{
    lcf_mixture *m;
    lcf_status status;

    *out = NULL;
    if (options->cutoff < 8)
        return LCF_FAIL(err, LCF_EINVAL, "a cutoff of %zu tokens", options->cutoff);
    m = lcf_alloc_zero(1, sizeof(*m));
    if (!m)
        return LCF_FAIL(err, LCF_ENOMEM, "tuning mixture");
    m->sources = sources;
    m->tokenizer = tokenizer;
    m->options = *options;
    m->seed = lcf_sources_get_options(sources)->seed;
    status = open_orders(m, err);
    if (status) {
        lcf_mixture_free(m);
        return status;
    }
    *out = m;
    return LCF_OK;
}

void lcf_mixture_free(lcf_mixture *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        free(m->list[i].order);
    lcf_segments_dispose(&m->text);
    free(m->marks);
    free(m);
}

uint64_t lcf_mixture_truncated_n(const lcf_mixture *m)
{
    return m->truncated_n;
}

uint64_t lcf_mixture_lost_n(const lcf_mixture *m)
{
    return m->lost_n;
}

/* ---- which row ---- */

static size_t draw_source(const lcf_mixture *m, uint64_t slot)
{
    double u = (double)(lcf_hash64(&slot, sizeof(slot), m->seed + STREAM_SOURCE) >> 11) * 0x1p-53;
    size_t last = 0;

    for (size_t i = 0; i < m->n; i++) {
        if (!(m->list[i].share > 0.0))
            continue;
        if (u < m->list[i].share)
            return i;
        u -= m->list[i].share;
        last = i;
    }
    return last; /* the shares were rounded to less than 1 */
}

/* The source's next row; a new permutation at the start of every epoch. */
static uint32_t draw_row(lcf_mixture *m, size_t source)
{
    source_order *s = &m->list[source];
    uint64_t epoch = s->drawn / s->n;
    lcf_rng rng;

    if (s->epoch != epoch + 1) {
        for (size_t i = 0; i < s->n; i++)
            s->order[i] = lcf_sources_row(m->sources, source, i);
        lcf_rng_seed(&rng, m->seed, (uint64_t)source << 48 | epoch);
        lcf_rng_shuffle_u32(&rng, s->order, s->n);
        s->epoch = epoch + 1;
    }
    return s->order[s->drawn++ % s->n];
}

static uint64_t teacher_seed(const lcf_mixture *m, uint64_t number)
{
    return lcf_hash64(&number, sizeof(number), m->seed + STREAM_TEACHER);
}

lcf_slot lcf_mixture_draw(lcf_mixture *m)
{
    size_t source = draw_source(m, m->slot);
    uint64_t seed = teacher_seed(m, m->slot);

    m->slot++;
    return (lcf_slot){source, draw_row(m, source), seed};
}

void lcf_mixture_seek(lcf_mixture *m, uint64_t slot)
{
    for (size_t i = 0; i < m->n; i++) {
        m->list[i].drawn = 0;
        m->list[i].epoch = 0;
    }
    for (uint64_t i = 0; i < slot; i++)
        m->list[draw_source(m, i)].drawn++;
    m->slot = slot;
}

/* ---- what it looks like ---- */

/* The piece that ends an answer. */
static uint32_t segment_end(const lcf_tokenizer *tokenizer, const lcf_segment *seg)
{
    return seg->marked ? lcf_template_end(tokenizer, seg->chat) : lcf_tokenizer_eos(tokenizer);
}

static lcf_status encode_segment(lcf_tokens *out, const lcf_tokenizer *tokenizer,
                                 const lcf_segments *segments, size_t idx, lcf_err *err)
{
    const lcf_segment *seg = &segments->list[idx];
    lcf_str text = lcf_segments_text(segments, idx);
    lcf_status status = LCF_OK;

    if (seg->opens && lcf_tokenizer_adds_bos(tokenizer) &&
        lcf_tokens_push(out, lcf_tokenizer_bos(tokenizer)))
        return LCF_FAIL(err, LCF_ENOMEM, "training row");
    status = seg->marked
                 ? lcf_template_tokens(out, tokenizer, seg->chat, text, seg->said, LCF_SAID_MAX,
                                       seg->opens, err)
                 : lcf_tokenizer_encode(out, tokenizer, text.data, text.len, seg->opens, err);
    if (!status && seg->closes && lcf_tokens_push(out, segment_end(tokenizer, seg)))
        status = LCF_FAIL(err, LCF_ENOMEM, "training row");
    return status;
}

lcf_status lcf_segments_encode(lcf_tokens *out, const lcf_tokenizer *tokenizer,
                               const lcf_segments *segments, lcf_err *err)
{
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < segments->n && !status; i++)
        status = encode_segment(out, tokenizer, segments, i, err);
    return status;
}

lcf_status lcf_prompt_tokens(lcf_tokens *out, const lcf_tokenizer *tokenizer,
                             const lcf_prompt_options *options, const lcf_dataset *d,
                             const lcf_facts *f, bool explain, lcf_buf *scratch, lcf_err *err)
{
    lcf_segments segments = {.text = *scratch};
    lcf_status status;

    lcf_segments_reset(&segments);
    status = lcf_prompt_segments(&segments, options, d, f, explain, err);
    if (!status)
        status = lcf_segments_encode(out, tokenizer, &segments, err);
    *scratch = segments.text;
    free(segments.list);
    return status;
}

/* m->text into tokens and marks. *answer_n: tokens of the last segment. */
static lcf_status encode_marked(lcf_row *row, size_t *answer_n, lcf_mixture *m, lcf_err *err)
{
    lcf_status status = LCF_OK;
    size_t begin = 0;

    row->tokens.n = 0;
    for (size_t i = 0; i < m->text.n && !status; i++) {
        const lcf_segment *seg = &m->text.list[i];
        begin = row->tokens.n;
        status = encode_segment(&row->tokens, m->tokenizer, &m->text, i, err);
        if (!status &&
            lcf_grow((void **)&m->marks, &m->marks_capacity, row->tokens.n + 1, sizeof(*m->marks)))
            status = LCF_FAIL(err, LCF_ENOMEM, "training row of %zu tokens", row->tokens.n);
        if (status)
            break;
        memset(m->marks + begin, seg->answer ? MARK_ANSWER : MARK_PROMPT, row->tokens.n - begin);
        /* How a question begins, behind an answer, is nothing to learn. */
        if (!seg->answer && row->tokens.n > begin)
            m->marks[begin] = MARK_NEVER;
    }
    *answer_n = row->tokens.n - begin;
    return status;
}

/* Whether nothing of an answer stands within the row: there is nothing to learn from it. */
static bool answer_is_lost(const lcf_row *row, const lcf_mixture *m)
{
    return row->tokens.n < 2 || !memchr(m->marks + 1, MARK_ANSWER, row->tokens.n - 1);
}

static lcf_status set_targets(lcf_row *row, const lcf_mixture *m, bool all, lcf_err *err)
{
    size_t n = row->tokens.n;

    if (lcf_grow((void **)&row->targets, &row->targets_capacity, n, sizeof(*row->targets)))
        return LCF_FAIL(err, LCF_ENOMEM, "training row of %zu tokens", n);
    for (size_t i = 0; i < n; i++) {
        size_t next = i + 1; /* the position that target i predicts */
        bool counted =
            next < n && (m->marks[next] == MARK_ANSWER || (all && m->marks[next] == MARK_PROMPT));
        row->targets[i] = counted ? (int32_t)row->tokens.ids[next] : -1;
    }
    return LCF_OK;
}

/* The row within the cutoff. */
static lcf_status build(lcf_row *row, lcf_mixture *m, lcf_slot slot, bool all, lcf_err *err)
{
    size_t cutoff = m->options.cutoff, answer_n = 0;
    bool truncated = false, again = true, lost;
    lcf_status status = LCF_OK;
    lcf_trim trim;

    lcf_trim_init(&trim, m->sources);
    while (!status && again) {
        lcf_segments_reset(&m->text);
        status = lcf_sources_segments(&m->text, m->sources, slot.source, slot.row, &trim, slot.seed,
                                      err);
        if (!status)
            status = encode_marked(row, &answer_n, m, err);
        again = !status && row->tokens.n > cutoff &&
                lcf_trim_more(&trim, m->sources, slot.source, slot.row, row->tokens.n - answer_n,
                              answer_n, cutoff);
        truncated |= again;
    }
    if (status)
        return status;
    if (row->tokens.n > cutoff) {
        row->tokens.n = cutoff;
        truncated = true;
    }
    lost = answer_is_lost(row, m);
    m->truncated_n += truncated;
    m->lost_n += lost;
    return set_targets(row, m, all && !lost, err);
}

lcf_status lcf_mixture_next(lcf_row *row, size_t *source, lcf_mixture *m, lcf_err *err)
{
    lcf_slot slot = lcf_mixture_draw(m);

    if (source)
        *source = slot.source;
    return build(row, m, slot, m->options.loss_on_prompt, err);
}

/* A row that is only looked at: the counts are of training rows that were drawn. */
static lcf_status build_aside(lcf_row *row, lcf_mixture *m, size_t source, uint32_t number,
                              size_t idx, lcf_err *err)
{
    lcf_slot slot = {source, number, teacher_seed(m, idx)};
    const uint64_t truncated_n = m->truncated_n, lost_n = m->lost_n;
    lcf_status status = build(row, m, slot, false, err);

    m->truncated_n = truncated_n;
    m->lost_n = lost_n;
    return status;
}

lcf_status lcf_mixture_row(lcf_row *row, lcf_mixture *m, size_t source, size_t idx, lcf_err *err)
{
    return build_aside(row, m, source, lcf_sources_row(m->sources, source, idx), idx, err);
}

lcf_status lcf_mixture_held_out(lcf_row *row, lcf_mixture *m, size_t source, size_t idx,
                                lcf_err *err)
{
    return build_aside(row, m, source, lcf_sources_held(m->sources, source, idx), idx, err);
}

lcf_status lcf_mixture_sample(lcf_row *row, lcf_mixture *m, lcf_source_kind kind, size_t sample,
                              lcf_err *err)
{
    size_t answer_n;
    lcf_status status;

    lcf_segments_reset(&m->text);
    status = lcf_sources_sample(&m->text, m->sources, kind, sample, teacher_seed(m, sample), err);
    if (!status)
        status = encode_marked(row, &answer_n, m, err);
    if (status)
        return status;
    if (row->tokens.n > m->options.cutoff)
        row->tokens.n = m->options.cutoff;
    return set_targets(row, m, false, err);
}

/* ---- statistics ---- */

lcf_status lcf_mixture_look(lcf_mixture_statistics *out, lcf_mixture *m, size_t source,
                            size_t rows_max, lcf_err *err)
{
    size_t all = m->list[source].n, n = all < rows_max ? all : rows_max, tokens = 0, answers = 0;
    const uint64_t truncated_n = m->truncated_n, lost_n = m->lost_n;
    lcf_row row = {.targets = NULL};
    lcf_status status = LCF_OK;

    for (size_t i = 0; i < n && !status; i++) {
        size_t at = (size_t)((double)i * (double)all / (double)n);
        lcf_slot slot = {source, lcf_sources_row(m->sources, source, at), teacher_seed(m, i)};
        status = build(&row, m, slot, false, err);
        tokens += status ? 0 : row.tokens.n;
        for (size_t t = 0; t < row.tokens.n && !status; t++)
            answers += row.targets[t] >= 0;
    }
    *out = (lcf_mixture_statistics){n, (double)tokens / (double)n, (double)answers / (double)n,
                                    (double)(m->truncated_n - truncated_n) / (double)n,
                                    (double)(m->lost_n - lost_n) / (double)n};
    m->truncated_n = truncated_n;
    m->lost_n = lost_n;
    lcf_row_dispose(&row);
    return status;
}
