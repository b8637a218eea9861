/* Upkeep of CoT stores: see cot_maintain.h. */
#include "common/store/cot_maintain.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/store/cot_batch.h"
#include "common/store/cot_check.h"
#include "common/store/cot_record.h"
#include "common/store/cot_value.h"
#include "common/store/cot_zstd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SWEEP_KEYS = 256 }; /* removed in one transaction */

/* Counts damage before telling of it. */
typedef struct teller {
    lcf_cot_repair_counts *counts;
    lcf_cot_damage damage;
    void *arg;
} teller;

static void count_damaged(void *arg, lcf_hash128 key, const char *why)
{
    const teller *t = arg;

    t->counts->lost_n++;
    if (t->damage)
        t->damage(t->arg, key, why);
}

/* ---- replacing the file of a store ---- */

typedef struct replacing {
    lcf_lock *writer;
    char *dir, *data, *lock; /* of the store */
    char *aside, *made;      /* folder and file of the new one */
} replacing;

static void replacing_end(replacing *r)
{
    if (r->aside)
        lcf_dir_remove(r->aside, NULL);
    lcf_lock_release(r->writer);
    free(r->dir);
    free(r->data);
    free(r->lock);
    free(r->aside);
    free(r->made);
}

static lcf_status replacing_begin(replacing *r, const char *dir, lcf_err *err)
{
    char *writer = lcf_path_join(dir, "writer.lock");
    lcf_status status = LCF_OK;

    memset(r, 0, sizeof(*r));
    r->dir = lcf_strdup(dir);
    r->data = lcf_path_join(dir, "data.mdb");
    r->lock = lcf_path_join(dir, "lock.mdb");
    r->aside = lcf_path_join(dir, "replacing");
    r->made = r->aside ? lcf_path_join(r->aside, "data.mdb") : NULL;
    if (!writer || !r->dir || !r->data || !r->lock || !r->aside || !r->made)
        status = LCF_FAIL(err, LCF_ENOMEM, "paths of %s", dir);
    if (!status && !lcf_path_exists(r->data))
        status = LCF_FAIL(err, LCF_ENOENT, "%s: no CoT store there", dir);
    if (!status)
        status = lcf_lock_acquire(&r->writer, writer, err);
    if (!status)
        status = lcf_dir_remove(r->aside, err); /* what a killed one left behind */
    free(writer);
    return status;
}

/* The new file into place; `keep`, where given, is the old one's name from then on. */
static lcf_status replacing_commit(replacing *r, const char *keep, lcf_err *err)
{
    /* A second name first, so that the store has a file at every moment. */
    if (keep && remove(keep) && lcf_path_exists(keep))
        return LCF_FAIL_ERRNO(err, "remove %s", keep);
    if (keep && link(r->data, keep))
        return LCF_FAIL_ERRNO(err, "keep %s as %s", r->data, keep);
    if (rename(r->made, r->data))
        return LCF_FAIL_ERRNO(err, "rename %s", r->made);
    if (remove(r->lock) && lcf_path_exists(r->lock)) /* it counts transactions of the old file */
        return LCF_FAIL_ERRNO(err, "remove %s", r->lock);
    return LCF_OK;
}

lcf_status lcf_cot_store_compact(const char *dir, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *store = NULL;
    replacing r;
    lcf_status status = replacing_begin(&r, dir, err);

    if (!status)
        status = lcf_cot_store_open(&store, dir, &options, err);
    if (!status)
        status = lcf_cot_store_copy(store, r.aside, err);
    lcf_cot_store_close(store);
    if (!status)
        status = replacing_commit(&r, NULL, err);
    replacing_end(&r);
    return status;
}

/* ---- repair ---- */

static lcf_status repair_by_tree(cot_batch *b, teller *t, lcf_cot_store *from, lcf_err *err)
{
    lcf_status status = lcf_cot_store_each_sound(from, cot_batch_add, b, count_damaged, t, err);

    return status ? status : cot_batch_flush(b, err);
}

typedef struct salvager {
    lcf_cot_codec *codec;
    lcf_buf raw;
    cot_batch *b;
    teller *t;
    lcf_err *err;
} salvager;

static lcf_status salvage_dictionary(void *arg, lcf_str key, lcf_str value)
{
    salvager *v = arg;
    const uint32_t id = lcf_cot_dictionary_id(value.data, value.len);

    if (key.len != 4 || !id || lcf_cot_codec_has_dictionary(v->codec, id))
        return LCF_OK;
    /* One that is no dictionary any more is damage that its records will show. */
    return lcf_cot_codec_add_dictionary(v->codec, value.data, value.len, NULL) == LCF_ENOMEM
               ? LCF_FAIL(v->err, LCF_ENOMEM, "a dictionary")
               : LCF_OK;
}

/* The record of a node, if it is one: of version 1 a frame under its key, now a head and a frame
 * under a place. EUNSUPPORTED: some other node. */
static lcf_status salvaged(lcf_cot_record **out, lcf_hash128 *named, salvager *v, lcf_str key,
                           lcf_str value, lcf_err *why)
{
    const cot_reasons none = {NULL, 0, 0};
    const bool whole = key.len == sizeof(named->bytes);
    lcf_str frame = value;
    lcf_cot_head head;
    lcf_status status = LCF_OK;

    if (whole ? value.len <= LCF_COT_PLACE_BYTES /* of a key's place */
              : key.len != LCF_COT_PLACE_BYTES || value.len <= LCF_COT_HEAD_BYTES)
        return LCF_EUNSUPPORTED;
    memcpy(named->bytes, whole ? key.data : value.data + 4, sizeof(named->bytes));
    if (!whole) {
        status = cot_head_read(&head, &none, value, why);
        status = status == LCF_ENOTFOUND ? LCF_OK : status; /* the body has the reason, too */
        frame = cot_value_frame(value);
    }
    lcf_buf_reset(&v->raw);
    if (!status)
        status = lcf_cot_codec_decode(v->codec, &v->raw, frame.data, frame.len, why);
    if (!status)
        status =
            whole ? lcf_cot_record_unpack(out, lcf_buf_text(&v->raw), v->raw.len, why)
                  : lcf_cot_record_unpack_body(out, &head, lcf_buf_text(&v->raw), v->raw.len, why);
    if (!status && memcmp((*out)->key.bytes, named->bytes, sizeof(named->bytes)))
        status = LCF_FAIL(why, LCF_ECHECKSUM, "the record there has another key");
    return status;
}

static lcf_status salvage_record(void *arg, lcf_str key, lcf_str value)
{
    salvager *v = arg;
    lcf_cot_record *record = NULL;
    lcf_hash128 named;
    lcf_err why = LCF_ERR_INIT;
    lcf_status status = salvaged(&record, &named, v, key, value, &why);

    if (status == LCF_ENOMEM)
        status = LCF_FAIL(v->err, status, "a record of %zu bytes", value.len);
    else if (!status)
        status = cot_batch_add(v->b, record, v->err);
    else {
        if (status != LCF_EUNSUPPORTED)
            count_damaged(v->t, named, why.text);
        status = LCF_OK;
    }
    free(record);
    return status;
}

static lcf_status repair_by_pages(cot_batch *b, teller *t, const char *path, lcf_err *err)
{
    salvager v = {NULL, LCF_BUF_INIT, b, t, err};
    lcf_map map = {NULL, 0};
    lcf_status status = lcf_map_open(&map, path, err);

    if (!status)
        status = lcf_cot_codec_create(&v.codec, 3, err);
    if (!status)
        status = lcf_cot_salvage(map.data, map.bytes_n, path, salvage_dictionary, &v, err);
    if (!status)
        status = lcf_cot_salvage(map.data, map.bytes_n, path, salvage_record, &v, err);
    if (!status)
        status = cot_batch_flush(b, err);
    lcf_cot_codec_free(v.codec);
    lcf_buf_dispose(&v.raw);
    lcf_map_close(&map);
    return status;
}

/* By the tree of `from` (NULL: it did not open), or by pages where that breaks off. */
static lcf_status repair_records(cot_batch *b, teller *t, lcf_cot_store *from, const char *path,
                                 lcf_err *err)
{
    lcf_err why = LCF_ERR_INIT;
    lcf_status status = from ? repair_by_tree(b, t, from, &why) : LCF_EFORMAT;

    if (status && status != LCF_EFORMAT)
        return LCF_FAIL(err, status, "%s", why.text);
    if (!status)
        return LCF_OK;
    cot_batch_discard(b); /* all is met again */
    t->counts->lost_n = 0;
    return repair_by_pages(b, t, path, err);
}

static lcf_status repair_into(replacing *r, teller *t, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *from = NULL;
    lcf_cot_store_stats stats = {0};
    lcf_err why = LCF_ERR_INIT;
    cot_batch b = {.n = 0};
    lcf_status status, opened;

    options.walk = true;
    opened = lcf_cot_store_open(&from, r->dir, &options, &why);
    if (opened && opened != LCF_EFORMAT)
        return LCF_FAIL(err, opened, "%s", why.text);
    options.write = true;
    status = lcf_cot_store_open(&b.to, r->aside, &options, err);
    if (!status)
        status = repair_records(&b, t, from, r->data, err);
    cot_batch_discard(&b);
    if (!status)
        status = lcf_cot_store_stat(&stats, b.to, err);
    t->counts->sound_n = stats.records_n;
    if (!status && !stats.records_n && (opened || t->counts->lost_n))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: no record of it can be read", r->data);
    lcf_cot_store_close(b.to);
    lcf_cot_store_close(from);
    return status;
}

lcf_status lcf_cot_store_repair(lcf_cot_repair_counts *out, const char *dir, lcf_cot_damage damage,
                                void *arg, lcf_err *err)
{
    teller t = {out, damage, arg};
    char *keep = lcf_path_join(dir, "data.mdb.damaged");
    replacing r;
    lcf_status status;

    memset(out, 0, sizeof(*out));
    status = replacing_begin(&r, dir, err);
    if (!status && !keep)
        status = LCF_FAIL(err, LCF_ENOMEM, "path in %s", dir);
    if (!status)
        status = repair_into(&r, &t, err);
    if (!status)
        status = replacing_commit(&r, keep, err);
    replacing_end(&r);
    free(keep);
    return status;
}

/* ---- merge ---- */

static lcf_status is_equal(bool *equal, const lcf_cot_record *a, const lcf_cot_record *b,
                           lcf_err *err)
{
    lcf_buf x = LCF_BUF_INIT, y = LCF_BUF_INIT;
    lcf_status status = lcf_cot_record_pack(&x, a, err);

    if (!status)
        status = lcf_cot_record_pack(&y, b, err);
    *equal = !status && x.len == y.len && !memcmp(x.data, y.data, x.len);
    lcf_buf_dispose(&x);
    lcf_buf_dispose(&y);
    return status;
}

struct lcf_cot_merger {
    lcf_cot_merge_counts counts;
    cot_batch b;
    lcf_cot_conflict conflict;
    void *arg;
};

lcf_status lcf_cot_merger_begin(lcf_cot_merger **out, lcf_cot_store *to, lcf_cot_conflict conflict,
                                void *arg, lcf_err *err)
{
    lcf_cot_merger *m = lcf_alloc_zero(1, sizeof(*m));

    *out = m;
    if (!m)
        return LCF_FAIL(err, LCF_ENOMEM, "merge of CoT stores");
    m->b.to = to;
    m->conflict = conflict;
    m->arg = arg;
    return LCF_OK;
}

/* The record of that key on its way or in the store; *owned is to be freed. ENOTFOUND: none. */
static lcf_status find(const lcf_cot_record **out, lcf_cot_record **owned, const lcf_cot_merger *m,
                       lcf_hash128 key, lcf_err *err)
{
    lcf_status status;

    *owned = NULL;
    for (size_t i = 0; i < m->b.n; i++)
        if (!memcmp(m->b.records[i].key.bytes, key.bytes, sizeof(key.bytes))) {
            *out = &m->b.records[i];
            return LCF_OK;
        }
    status = lcf_cot_store_get(owned, m->b.to, key, err);
    *out = *owned;
    return status;
}

lcf_status lcf_cot_merger_add(lcf_cot_merger *m, const lcf_cot_record *record, lcf_err *err)
{
    const lcf_cot_record *old;
    lcf_cot_record *owned;
    bool equal = false;
    lcf_status status = find(&old, &owned, m, record->key, err);

    if (status == LCF_ENOTFOUND) {
        m->counts.added_n++;
        return cot_batch_add(&m->b, record, err);
    }
    if (!status)
        status = is_equal(&equal, old, record, err);
    free(owned);
    if (status)
        return status;
    m->counts.same_n += equal;
    m->counts.conflict_n += !equal;
    if (!equal && m->conflict)
        m->conflict(m->arg, record->key);
    return LCF_OK;
}

lcf_status lcf_cot_merger_end(lcf_cot_merge_counts *out, lcf_cot_merger *m, bool failed,
                              lcf_err *err)
{
    lcf_status status = LCF_OK;

    if (!m)
        return LCF_OK;
    if (!failed)
        status = cot_batch_flush(&m->b, err);
    cot_batch_discard(&m->b);
    out->added_n += m->counts.added_n;
    out->same_n += m->counts.same_n;
    out->conflict_n += m->counts.conflict_n;
    free(m);
    return status;
}

static lcf_status merge_record(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    return lcf_cot_merger_add(arg, record, err);
}

lcf_status lcf_cot_store_merge(lcf_cot_merge_counts *out, lcf_cot_store *to, lcf_cot_store *from,
                               lcf_cot_conflict conflict, void *arg, lcf_err *err)
{
    lcf_cot_merger *m;
    lcf_status ended, status = lcf_cot_merger_begin(&m, to, conflict, arg, err);

    if (!status)
        status = lcf_cot_store_each(from, merge_record, m, err);
    ended = lcf_cot_merger_end(out, m, status != LCF_OK, err);
    return status ? status : ended;
}

/* ---- throwing away ---- */

typedef struct sweeper {
    lcf_cot_store *store;
    int64_t oldest;
    const char *model;
    lcf_hash128 keys[SWEEP_KEYS];
    size_t n;
    uint64_t removed_n;
} sweeper;

static lcf_status sweep(sweeper *w, lcf_err *err)
{
    lcf_status status = lcf_cot_store_remove(w->store, w->keys, w->n, err);

    w->removed_n += status ? 0 : w->n;
    w->n = 0;
    return status;
}

static lcf_status sweep_record(void *arg, const lcf_cot_record *record, lcf_err *err)
{
    sweeper *w = arg;

    if (record->time >= w->oldest && (!w->model || !strcmp(record->model_id, w->model)))
        return LCF_OK;
    w->keys[w->n++] = record->key;
    return w->n == SWEEP_KEYS ? sweep(w, err) : LCF_OK;
}

lcf_status lcf_cot_store_gc(uint64_t *removed_n, lcf_cot_store *s, int64_t oldest,
                            const char *model, lcf_err *err)
{
    sweeper w = {.store = s, .oldest = oldest, .model = model};
    lcf_cot_select old = LCF_COT_SELECT_ALL;
    lcf_status status = LCF_OK;

    if (!model) /* by the by-time table */
        old.until = oldest > INT64_MIN ? oldest - 1 : INT64_MIN;
    status = lcf_cot_store_each_of(s, &old, sweep_record, &w, err);

    if (!status)
        status = sweep(&w, err);
    *removed_n = w.removed_n;
    return status;
}
