/*
 * The tables of a CoT store in LMDB.
 *
 * Invariants: no transaction outlives the call that began it, but one that looks at a value, or at
 * a file that nobody writes; an environment is open at most once in a process (LMDB's locks break
 * otherwise); data.mdb appears under its name only with its tables and format version in it; and it
 * is mapped only after its structure was checked, because LMDB trusts it (a truncated file would be
 * a SIGBUS). Every key of a record has one place, and every place one key.
 */
#include "common/store/cot_lmdb.h"

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/store/cot_check.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MAP_BYTES_FIRST = 4 << 20 };
#define MAP_BYTES_MAX ((size_t)1 << 42)

#define BY_KEY LCF_COT_TABLES_N /* of the records: key -> place */
#define TABLES_N (LCF_COT_TABLES_N + 1)
#define TABLES_OF_VERSION_1 3

static const char *const TABLE_NAMES[TABLES_N] = {"records", "dictionaries", "meta",  "by_user",
                                                  "by_time", "reasons",      "by_key"};
static const char FORMAT_KEY[] = "format_version";

struct lcf_cot_db {
    MDB_env *env;
    MDB_txn *reader;  /* begun, and reset between calls: it keeps its slot and no page; of a file
                         that nobody writes it goes on, for there is no page to pin */
    size_t readers_n; /* that are in it: a call may come while a value is looked at */
    MDB_dbi tables[TABLES_N];
    size_t tables_n; /* those that are there */
    uint32_t version;
    lcf_lock *writer; /* NULL when opened for reading */
    char *dir, *data_path;
    bool registered, immutable;
    pid_t pid; /* a forked child inherits the list, but not the locks */
    dev_t device;
    ino_t inode;
    lcf_cot_db *next_open;
};

static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
static lcf_cot_db *open_first;

/* ---- errors ---- */

/* LMDB reports a short write as EIO; say what it is when the room is gone or the file limit
 * reached. */
static bool out_of_room(const lcf_cot_db *db)
{
    struct statvfs fs;
    struct stat file;
    struct rlimit limit;
    const unsigned long long slack = 1 << 20;

    if (!statvfs(db->dir, &fs) && (unsigned long long)fs.f_bavail * fs.f_frsize < slack)
        return true;
    return !getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY &&
           !stat(db->data_path, &file) &&
           (unsigned long long)file.st_size + slack > (unsigned long long)limit.rlim_cur;
}

static lcf_status status_of(const lcf_cot_db *db, int rc)
{
    switch (rc) {
    case MDB_NOTFOUND:
        return LCF_ENOTFOUND;
    case ENOMEM:
        return LCF_ENOMEM;
    case ENOENT:
        return LCF_ENOENT;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return LCF_ENOSPC;
    case EIO:
        return out_of_room(db) ? LCF_ENOSPC : LCF_EIO;
    case MDB_VERSION_MISMATCH:
        return LCF_EVERSION;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
        return LCF_EFORMAT;
    case MDB_READERS_FULL:
    case EBUSY:
        return LCF_EBUSY;
    default:
        return LCF_EIO;
    }
}

static lcf_status fail(lcf_err *err, const lcf_cot_db *db, int rc, const char *what)
{
    lcf_status status = status_of(db, rc);

    return LCF_FAIL(err, status, "%s: %s: %s", db->data_path, what,
                    rc == EIO && status == LCF_ENOSPC ? strerror(ENOSPC) : mdb_strerror(rc));
}

/* ---- transactions ---- */

static int begin(MDB_txn **txn, lcf_cot_db *db, bool write)
{
    int rc = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, txn);

    if (rc == MDB_MAP_RESIZED) { /* another process has grown the file: take its size */
        rc = mdb_env_set_mapsize(db->env, 0);
        if (!rc)
            rc = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, txn);
    }
    return rc;
}

static int begin_reading(MDB_txn **txn, lcf_cot_db *db)
{
    int rc = 0;

    if (!db->reader)
        rc = begin(&db->reader, db, false);
    else if (!db->readers_n && !db->immutable)
        rc = mdb_txn_renew(db->reader);
    if (rc == MDB_MAP_RESIZED && !(rc = mdb_env_set_mapsize(db->env, 0)))
        rc = mdb_txn_renew(db->reader);
    db->readers_n += !rc;
    *txn = db->reader;
    return rc;
}

static void end_reading(lcf_cot_db *db)
{
    if (!--db->readers_n && !db->immutable)
        mdb_txn_reset(db->reader);
}

static MDB_val value_of(lcf_str s)
{
    MDB_val v = {s.len, (void *)s.data};

    return v;
}

/* ---- records by place ---- */

enum { PLACE = LCF_COT_PLACE_BYTES }; /* big-endian: LMDB goes by bytes */

/* Whether that table is one of places behind one of keys. */
static bool has_places(const lcf_cot_db *db, lcf_cot_table table)
{
    return table == LCF_COT_RECORDS && db->version > 1;
}

static int place_of(MDB_val *place, MDB_txn *txn, const lcf_cot_db *db, MDB_val *key)
{
    const int rc = mdb_get(txn, db->tables[BY_KEY], key, place);

    return rc ? rc : place->mv_size == PLACE ? 0 : MDB_CORRUPTED;
}

static int value_at(MDB_val *value, MDB_txn *txn, const lcf_cot_db *db, MDB_val *place)
{
    const int rc = mdb_get(txn, db->tables[LCF_COT_RECORDS], place, value);

    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

/* ---- the order of keys ---- */

static int compare_bytes(const MDB_val *a, const MDB_val *b)
{
    const size_t n = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
    const int order = memcmp(a->mv_data, b->mv_data, n);

    return order ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

/* The first eight bytes, or all six of a place, so that numbers are in the order of bytes; this
 * machine is little-endian. */
static uint64_t number_of(const MDB_val *key)
{
    uint64_t eight;
    uint32_t four;
    uint16_t two;

    if (key->mv_size != PLACE) {
        memcpy(&eight, key->mv_data, sizeof(eight));
        return __builtin_bswap64(eight);
    }
    memcpy(&four, key->mv_data, sizeof(four));
    memcpy(&two, (const uint8_t *)key->mv_data + sizeof(four), sizeof(two));
    return (uint64_t)__builtin_bswap32(four) << 16 | __builtin_bswap16(two);
}

/* LMDB's own order, of bytes; a record is some forty comparisons away, and most of them are settled
 * here without a call of memcmp. */
static int compare(const MDB_val *a, const MDB_val *b)
{
    if ((a->mv_size == PLACE && b->mv_size == PLACE) || (a->mv_size >= 8 && b->mv_size >= 8)) {
        const uint64_t x = number_of(a), y = number_of(b);

        if (x != y)
            return x < y ? -1 : 1;
        if (a->mv_size == PLACE)
            return 0;
    }
    return compare_bytes(a, b);
}

/* Where the records of a transaction go. */
typedef struct placing {
    bool begun, rising; /* rising: their keys lie beyond all that are there */
    uint64_t next;
} placing;

static int last_key(MDB_val *key, MDB_txn *txn, MDB_dbi table)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, table, &cursor);

    if (rc)
        return rc;
    rc = mdb_cursor_get(cursor, key, NULL, MDB_LAST);
    mdb_cursor_close(cursor);
    return rc;
}

static int begin_placing(placing *p, MDB_txn *txn, const lcf_cot_db *db, lcf_str first)
{
    MDB_val last;
    int rc = last_key(&last, txn, db->tables[LCF_COT_RECORDS]);

    if (!rc && last.mv_size != PLACE)
        return MDB_CORRUPTED;
    for (size_t i = 0; !rc && i < PLACE; i++)
        p->next = p->next << 8 | ((const uint8_t *)last.mv_data)[i];
    p->next += !rc;
    if (!rc || rc == MDB_NOTFOUND)
        rc = last_key(&last, txn, db->tables[BY_KEY]);
    p->rising = rc == MDB_NOTFOUND || (!rc && last.mv_size == first.len &&
                                       memcmp(last.mv_data, first.data, first.len) < 0);
    p->begun = true;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* At its place, where its key has one; else behind all others. */
static int put_record(MDB_txn *txn, const lcf_cot_db *db, placing *p, const lcf_cot_pair *pair)
{
    MDB_val key = value_of(pair->key), value = value_of(pair->value), at;
    uint8_t place[PLACE];
    int rc = p->begun ? 0 : begin_placing(p, txn, db, pair->key);

    for (size_t i = 0; i < PLACE; i++)
        place[i] = (uint8_t)(p->next >> (8 * (PLACE - 1 - i)));
    at = (MDB_val){PLACE, place};
    if (!rc && p->rising)
        rc = mdb_put(txn, db->tables[BY_KEY], &key, &at, MDB_APPEND);
    if (rc == MDB_KEYEXIST || (!rc && !p->rising)) /* appending, to a key of this very batch */
        rc = mdb_put(txn, db->tables[BY_KEY], &key, &at, MDB_NOOVERWRITE);
    if (!rc) {
        p->next++;
        return mdb_put(txn, db->tables[LCF_COT_RECORDS], &at, &value, MDB_APPEND);
    }
    if (rc != MDB_KEYEXIST)
        return rc;
    if (at.mv_size != PLACE)
        return MDB_CORRUPTED;
    memcpy(place, at.mv_data, PLACE);
    at.mv_data = place;
    return mdb_put(txn, db->tables[LCF_COT_RECORDS], &at, &value, 0);
}

static int remove_record(MDB_txn *txn, const lcf_cot_db *db, lcf_str of)
{
    MDB_val key = value_of(of), place;
    int rc = place_of(&place, txn, db, &key);

    if (!rc)
        rc = mdb_del(txn, db->tables[LCF_COT_RECORDS], &place, NULL);
    return rc ? rc : mdb_del(txn, db->tables[BY_KEY], &key, NULL);
}

/* ---- writing ---- */

static int put_pair(MDB_txn *txn, lcf_cot_db *db, placing *p, const lcf_cot_pair *pair)
{
    MDB_val key = value_of(pair->key), value = value_of(pair->value);
    int rc;

    if (pair->value.data)
        return has_places(db, pair->table) ? put_record(txn, db, p, pair)
                                           : mdb_put(txn, db->tables[pair->table], &key, &value, 0);
    rc = has_places(db, pair->table) ? remove_record(txn, db, pair->key)
                                     : mdb_del(txn, db->tables[pair->table], &key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int put_once(lcf_cot_db *db, const lcf_cot_pair *pairs, size_t n)
{
    placing p = {false, false, 0};
    MDB_txn *txn;
    int rc = begin(&txn, db, true);

    if (rc)
        return rc;
    for (size_t i = 0; i < n && !rc; i++)
        rc = put_pair(txn, db, &p, &pairs[i]);
    if (!rc)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

/* The pages that readers pinned who were killed since, or a larger map. */
static int make_room(lcf_cot_db *db)
{
    MDB_envinfo info;
    int dead = 0;

    if (!mdb_reader_check(db->env, &dead) && dead)
        return 0;
    mdb_env_info(db->env, &info);
    if (info.me_mapsize >= MAP_BYTES_MAX)
        return MDB_MAP_FULL;
    return mdb_env_set_mapsize(db->env, 2 * info.me_mapsize);
}

lcf_status lcf_cot_db_put(lcf_cot_db *db, const lcf_cot_pair *pairs, size_t n, lcf_err *err)
{
    int rc;

    if (!db->writer)
        return LCF_FAIL(err, LCF_EINVAL, "%s: opened for reading", db->data_path);
    do
        rc = put_once(db, pairs, n);
    while (rc == MDB_MAP_FULL && !(rc = make_room(db)));
    return rc ? fail(err, db, rc, "writing a batch (nothing that was there is lost)") : LCF_OK;
}

/* What it is found by lies elsewhere: its lines are asked for all at once, and not one by one. */
static lcf_str ask_ahead(const MDB_val *value)
{
    enum { LINE = 64, AHEAD_MAX = 2048 };
    const lcf_str s = {value->mv_data, value->mv_size};

    for (size_t i = 0; i < s.len && i < AHEAD_MAX; i += LINE)
        __builtin_prefetch(s.data + i);
    return s;
}

lcf_status lcf_cot_db_look(lcf_str *value, lcf_cot_db *db, lcf_cot_table table, const void *key,
                           size_t key_bytes, lcf_err *err)
{
    MDB_txn *txn;
    MDB_val k = {key_bytes, (void *)key}, v = {0, NULL}, place;
    int rc = begin_reading(&txn, db);

    if (rc)
        return fail(err, db, rc, "reading");
    if (!has_places(db, table))
        rc = mdb_get(txn, db->tables[table], &k, &v);
    else if (!(rc = place_of(&place, txn, db, &k)) && value)
        rc = value_at(&v, txn, db, &place);
    if (!rc) {
        if (value)
            *value = ask_ahead(&v);
        return LCF_OK;
    }
    end_reading(db);
    return rc == MDB_NOTFOUND ? LCF_ENOTFOUND : fail(err, db, rc, "reading");
}

void lcf_cot_db_leave(lcf_cot_db *db)
{
    end_reading(db);
}

lcf_status lcf_cot_db_get(lcf_buf *value, lcf_cot_db *db, lcf_cot_table table, const void *key,
                          size_t key_bytes, lcf_err *err)
{
    lcf_str found;
    const lcf_status status = lcf_cot_db_look(&found, db, table, key, key_bytes, err);

    if (status)
        return status;
    lcf_buf_append(value, found.data, found.len);
    lcf_cot_db_leave(db);
    return value->status ? LCF_FAIL(err, value->status, "value of %s", TABLE_NAMES[table]) : LCF_OK;
}

/* ---- scans ---- */

static lcf_status page_add(lcf_cot_page *page, const MDB_val *key, const MDB_val *value)
{
    size_t wanted = 2 * page->n + 3;

    if (lcf_grow((void **)&page->offsets, &page->capacity, wanted, sizeof(size_t)))
        return LCF_ENOMEM;
    page->offsets[2 * page->n] = page->bytes.len;
    lcf_buf_append(&page->bytes, key->mv_data, key->mv_size);
    page->offsets[2 * page->n + 1] = page->bytes.len;
    lcf_buf_append(&page->bytes, value->mv_data, value->mv_size);
    page->offsets[2 * page->n + 2] = page->bytes.len;
    page->n++;
    return page->bytes.status;
}

static int cursor_first(MDB_cursor *cursor, MDB_val *key, MDB_val *value, const lcf_str *after)
{
    int rc;

    if (!after)
        return mdb_cursor_get(cursor, key, value, MDB_FIRST);
    *key = value_of(*after);
    rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (!rc && key->mv_size == after->len && !memcmp(key->mv_data, after->data, after->len))
        rc = mdb_cursor_get(cursor, key, value, MDB_NEXT);
    return rc;
}

static int scan(lcf_cot_page *page, lcf_status *status, MDB_txn *txn, const lcf_cot_db *db,
                lcf_cot_table table, const lcf_str *after, const lcf_cot_limits *limits)
{
    const bool places = has_places(db, table);
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, db->tables[places ? BY_KEY : (size_t)table], &cursor);

    if (rc)
        return rc;
    rc = cursor_first(cursor, &key, &value, after);
    while (!rc && !*status && page->n < limits->n && page->bytes.len < limits->bytes) {
        if (places && (value.mv_size != PLACE || (rc = value_at(&value, txn, db, &value))))
            rc = rc ? rc : MDB_CORRUPTED;
        if (rc)
            break;
        if (value.mv_size > limits->value_bytes)
            value.mv_size = limits->value_bytes;
        *status = page_add(page, &key, &value);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

lcf_status lcf_cot_db_scan(lcf_cot_page *page, lcf_cot_db *db, lcf_cot_table table,
                           const lcf_str *after, const lcf_cot_limits *limits, lcf_err *err)
{
    MDB_txn *txn;
    lcf_status status = LCF_OK;
    int rc = begin_reading(&txn, db);

    if (rc)
        return fail(err, db, rc, "reading");
    page->n = 0;
    lcf_buf_reset(&page->bytes);
    rc = scan(page, &status, txn, db, table, after, limits);
    end_reading(db);
    if (rc)
        return fail(err, db, rc, "reading");
    return status ? LCF_FAIL(err, status, "a page of %s", TABLE_NAMES[table]) : LCF_OK;
}

lcf_str lcf_cot_page_key(const lcf_cot_page *page, size_t i)
{
    const size_t *o = page->offsets + 2 * i;
    lcf_str s = {lcf_buf_text(&page->bytes) + o[0], o[1] - o[0]};

    return s;
}

lcf_str lcf_cot_page_value(const lcf_cot_page *page, size_t i)
{
    const size_t *o = page->offsets + 2 * i;
    lcf_str s = {lcf_buf_text(&page->bytes) + o[1], o[2] - o[1]};

    return s;
}

void lcf_cot_page_dispose(lcf_cot_page *page)
{
    lcf_buf_dispose(&page->bytes);
    free(page->offsets);
    memset(page, 0, sizeof(*page));
}

lcf_status lcf_cot_db_clear(lcf_cot_db *db, lcf_cot_table table, lcf_err *err)
{
    MDB_txn *txn;
    int rc;

    if (!db->writer)
        return LCF_FAIL(err, LCF_EINVAL, "%s: opened for reading", db->data_path);
    rc = begin(&txn, db, true);
    if (rc)
        return fail(err, db, rc, "emptying a table");
    rc = mdb_drop(txn, db->tables[table], 0);
    if (rc)
        mdb_txn_abort(txn);
    else
        rc = mdb_txn_commit(txn);
    return rc ? fail(err, db, rc, "emptying a table") : LCF_OK;
}

lcf_status lcf_cot_db_count(uint64_t *out, lcf_cot_db *db, lcf_cot_table table, lcf_err *err)
{
    MDB_txn *txn;
    MDB_stat stat;
    int rc = begin_reading(&txn, db);

    if (rc)
        return fail(err, db, rc, "reading");
    rc = mdb_stat(txn, db->tables[table], &stat);
    end_reading(db);
    if (rc)
        return fail(err, db, rc, "counting");
    *out = stat.ms_entries;
    return LCF_OK;
}

/* ---- opening ---- */

const char *lcf_cot_db_path(const lcf_cot_db *db)
{
    return db->data_path;
}

uint32_t lcf_cot_db_version(const lcf_cot_db *db)
{
    return db->version;
}

static lcf_status register_open(lcf_cot_db *db, lcf_err *err)
{
    struct stat st;
    bool taken = false;

    if (stat(db->dir, &st))
        return LCF_FAIL_ERRNO(err, "%s", db->dir);
    db->device = st.st_dev;
    db->inode = st.st_ino;
    db->pid = getpid();
    pthread_mutex_lock(&open_mutex);
    for (const lcf_cot_db *o = open_first; o && !taken; o = o->next_open)
        taken = o->pid == db->pid && o->device == db->device && o->inode == db->inode;
    if (!taken) {
        db->next_open = open_first;
        open_first = db;
        db->registered = true;
    }
    pthread_mutex_unlock(&open_mutex);
    return taken ? LCF_FAIL(err, LCF_EBUSY, "%s: this process has the store open already", db->dir)
                 : LCF_OK;
}

static void unregister(lcf_cot_db *db)
{
    pthread_mutex_lock(&open_mutex);
    for (lcf_cot_db **o = &open_first; *o; o = &(*o)->next_open)
        if (*o == db) {
            *o = db->next_open;
            break;
        }
    pthread_mutex_unlock(&open_mutex);
}

static int open_tables(lcf_cot_db *db, bool create)
{
    MDB_txn *txn;
    int rc = begin(&txn, db, create);

    if (rc)
        return rc;
    for (db->tables_n = 0; db->tables_n < TABLES_N && !rc; db->tables_n += !rc)
        rc = mdb_dbi_open(txn, TABLE_NAMES[db->tables_n], create ? MDB_CREATE : 0,
                          &db->tables[db->tables_n]);
    if (rc == MDB_NOTFOUND && db->tables_n >= TABLES_OF_VERSION_1)
        rc = 0;
    if (!rc)
        rc = mdb_set_compare(txn, db->tables[LCF_COT_RECORDS], compare);
    if (!rc && db->tables_n == TABLES_N)
        rc = mdb_set_compare(txn, db->tables[BY_KEY], compare);
    if (!rc && create) {
        uint8_t version[4] = {LCF_COT_FORMAT_VERSION, 0, 0, 0};
        MDB_val key = {sizeof(FORMAT_KEY) - 1, (void *)FORMAT_KEY}, value = {4, version};
        rc = mdb_put(txn, db->tables[LCF_COT_META], &key, &value, 0);
    }
    if (!rc)
        return mdb_txn_commit(txn); /* committing, also of a reader, keeps the table handles */
    mdb_txn_abort(txn);
    return rc;
}

static lcf_status read_version(lcf_cot_db *db, lcf_err *err)
{
    lcf_buf value = LCF_BUF_INIT;
    lcf_status status =
        lcf_cot_db_get(&value, db, LCF_COT_META, FORMAT_KEY, sizeof(FORMAT_KEY) - 1, err);

    if (status == LCF_ENOTFOUND || (!status && value.len != 4))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: no format version in it", db->data_path);
    for (size_t i = 4; !status && i-- > 0;)
        db->version = db->version << 8 | (uint8_t)value.data[i];
    lcf_buf_dispose(&value);
    return status;
}

static lcf_status check_version(lcf_cot_db *db, lcf_cot_access access, lcf_err *err)
{
    lcf_status status = read_version(db, err);

    if (status)
        return status;
    if (db->version > LCF_COT_FORMAT_VERSION || db->version == 0)
        return LCF_FAIL(err, LCF_EVERSION, "%s: format version %u; this program reads up to %u",
                        db->data_path, db->version, LCF_COT_FORMAT_VERSION);
    if (db->version > 1 && db->tables_n < TABLES_N)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: it has no table %s", db->data_path,
                        TABLE_NAMES[db->tables_n]);
    if (db->version == 1 && access == LCF_COT_WRITE)
        return LCF_FAIL(err, LCF_EVERSION,
                        "%s: format version 1, which this program reads and does not write; "
                        "`llmcf store compact --cot %s` makes it version %u",
                        db->data_path, db->dir, LCF_COT_FORMAT_VERSION);
    return LCF_OK;
}

static lcf_status open_env(lcf_cot_db *db, const char *dir, unsigned flags, lcf_err *err)
{
    int rc = mdb_env_create(&db->env);

    if (!rc)
        rc = mdb_env_set_maxdbs(db->env, TABLES_N);
    if (!rc && !(flags & MDB_RDONLY) && !lcf_path_exists(db->data_path))
        rc = mdb_env_set_mapsize(db->env, MAP_BYTES_FIRST);
    if (!rc)
        rc = mdb_env_open(db->env, dir, flags | MDB_NOTLS, 0644);
    return rc ? fail(err, db, rc, "opening") : LCF_OK;
}

/* A new store is made aside and renamed into place, so that a crash leaves none or a whole one. */
static lcf_status create_new(lcf_cot_db *db, lcf_err *err)
{
    char *aside = lcf_path_join(db->dir, ".new");
    char *made = aside ? lcf_path_join(aside, "data.mdb") : NULL;
    lcf_status status;
    int rc;

    if (!made) {
        status = LCF_FAIL(err, LCF_ENOMEM, "paths of a CoT store");
        goto done;
    }
    status = lcf_dir_remove(aside, err);
    if (!status)
        status = lcf_dir_create(aside, err);
    if (!status)
        status = open_env(db, aside, 0, err);
    if (!status && (rc = open_tables(db, true)))
        status = fail(err, db, rc, "creating");
    if (db->env)
        mdb_env_close(db->env);
    db->env = NULL;
    if (!status && rename(made, db->data_path))
        status = LCF_FAIL_ERRNO(err, "rename %s", made);
    if (!status)
        status = lcf_dir_remove(aside, err);
done:
    free(made);
    free(aside);
    return status;
}

static lcf_status prepare_write(lcf_cot_db *db, lcf_err *err)
{
    char *lock_path;
    lcf_status status = lcf_dir_create(db->dir, err);

    if (status)
        return status;
    lock_path = lcf_path_join(db->dir, "writer.lock");
    if (!lock_path)
        return LCF_FAIL(err, LCF_ENOMEM, "path in %s", db->dir);
    status = lcf_lock_acquire(&db->writer, lock_path, err);
    free(lock_path);
    if (!status && !lcf_path_exists(db->data_path))
        status = create_new(db, err);
    return status;
}

static lcf_status open_existing(lcf_cot_db *db, lcf_cot_access access, lcf_err *err)
{
    unsigned flags = access == LCF_COT_WRITE            ? 0
                     : access == LCF_COT_READ_IMMUTABLE ? MDB_RDONLY | MDB_NOLOCK
                                                        : MDB_RDONLY;
    int rc, dead;
    lcf_status status;

    if (!lcf_path_exists(db->data_path))
        return LCF_FAIL(err, LCF_ENOENT, "%s: no CoT store there; `llmcf generate` makes one",
                        db->dir);
    if (access != LCF_COT_READ_IMMUTABLE && (status = register_open(db, err)))
        return status;
    status = access == LCF_COT_READ_WALKED
                 ? lcf_cot_check(db->data_path, err)
                 : lcf_cot_check_once(db->data_path, access == LCF_COT_READ, err);
    if (!status)
        status = open_env(db, db->dir, flags, err);
    if (status)
        return status;
    mdb_reader_check(db->env, &dead); /* readers that were killed pin old pages */
    rc = open_tables(db, false);
    if (rc == MDB_NOTFOUND)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: an LMDB file, but no CoT store", db->data_path);
    return rc ? fail(err, db, rc, "opening the tables") : check_version(db, access, err);
}

lcf_status lcf_cot_db_open(lcf_cot_db **out, const char *dir, lcf_cot_access access, lcf_err *err)
{
    lcf_cot_db *db = lcf_alloc_zero(1, sizeof(*db));
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!db)
        return LCF_FAIL(err, LCF_ENOMEM, "CoT store handle, %zu bytes", sizeof(*db));
    db->immutable = access == LCF_COT_READ_IMMUTABLE;
    db->dir = lcf_strdup(dir);
    db->data_path = lcf_path_join(dir, "data.mdb");
    if (!db->dir || !db->data_path) {
        status = LCF_FAIL(err, LCF_ENOMEM, "paths of %s", dir);
        goto done;
    }
    if (access == LCF_COT_WRITE)
        status = prepare_write(db, err);
    if (!status)
        status = open_existing(db, access, err);
    if (status)
        goto done;
    *out = db;
    db = NULL;
done:
    lcf_cot_db_close(db);
    return status;
}

void lcf_cot_db_close(lcf_cot_db *db)
{
    if (!db)
        return;
    if (db->reader)
        mdb_txn_abort(db->reader);
    if (db->env)
        mdb_env_close(db->env);
    if (db->registered)
        unregister(db);
    lcf_lock_release(db->writer);
    free(db->dir);
    free(db->data_path);
    free(db);
}
