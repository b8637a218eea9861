/*
 * The tables of a CoT store in LMDB.
 *
 * Invariants: no transaction outlives the call that began it; an environment is open at most once
 * in a process (LMDB's locks break otherwise); data.mdb appears under its name only with its tables
 * and format version in it; and it is mapped only after its structure was checked, because LMDB
 * trusts it (a truncated file would be a SIGBUS).
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

static const char *const TABLE_NAMES[LCF_COT_TABLES_N] = {"records", "dictionaries", "meta",
                                                          "by_user", "by_time"};
static const char FORMAT_KEY[] = "format_version";

struct lcf_cot_db {
    MDB_env *env;
    MDB_dbi tables[LCF_COT_TABLES_N];
    bool has[LCF_COT_TABLES_N];
    lcf_lock *writer; /* NULL when opened for reading */
    char *dir, *data_path;
    bool registered;
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

static MDB_val value_of(lcf_str s)
{
    MDB_val v = {s.len, (void *)s.data};

    return v;
}

static int put_once(lcf_cot_db *db, const lcf_cot_pair *pairs, size_t n)
{
    MDB_txn *txn;
    int rc = begin(&txn, db, true);

    if (rc)
        return rc;
    for (size_t i = 0; i < n && !rc; i++) {
        MDB_val key = value_of(pairs[i].key), value = value_of(pairs[i].value);
        if (pairs[i].value.data)
            rc = mdb_put(txn, db->tables[pairs[i].table], &key, &value, 0);
        else if ((rc = mdb_del(txn, db->tables[pairs[i].table], &key, NULL)) == MDB_NOTFOUND)
            rc = 0;
    }
    if (!rc)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static int grow(lcf_cot_db *db)
{
    MDB_envinfo info;

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
    while (rc == MDB_MAP_FULL && !(rc = grow(db)));
    return rc ? fail(err, db, rc, "writing a batch (nothing that was there is lost)") : LCF_OK;
}

lcf_status lcf_cot_db_get(lcf_buf *value, lcf_cot_db *db, lcf_cot_table table, const void *key,
                          size_t key_bytes, lcf_err *err)
{
    MDB_txn *txn;
    MDB_val k = {key_bytes, (void *)key}, v;
    int rc = begin(&txn, db, false);

    if (rc)
        return fail(err, db, rc, "reading");
    rc = mdb_get(txn, db->tables[table], &k, &v);
    if (!rc)
        lcf_buf_append(value, v.mv_data, v.mv_size);
    mdb_txn_abort(txn);
    if (rc == MDB_NOTFOUND)
        return LCF_ENOTFOUND;
    if (rc)
        return fail(err, db, rc, "reading");
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

lcf_status lcf_cot_db_scan(lcf_cot_page *page, lcf_cot_db *db, lcf_cot_table table,
                           const lcf_str *after, size_t n_max, size_t bytes_max, lcf_err *err)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    lcf_status status = LCF_OK;
    int rc = begin(&txn, db, false);

    if (rc)
        return fail(err, db, rc, "reading");
    page->n = 0;
    lcf_buf_reset(&page->bytes);
    rc = mdb_cursor_open(txn, db->tables[table], &cursor);
    if (!rc) {
        rc = cursor_first(cursor, &key, &value, after);
        while (!rc && !status && page->n < n_max && page->bytes.len < bytes_max) {
            status = page_add(page, &key, &value);
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    if (rc && rc != MDB_NOTFOUND)
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

bool lcf_cot_db_has(const lcf_cot_db *db, lcf_cot_table table)
{
    return db->has[table];
}

lcf_status lcf_cot_db_count(uint64_t *out, lcf_cot_db *db, lcf_cot_table table, lcf_err *err)
{
    MDB_txn *txn;
    MDB_stat stat;
    int rc = begin(&txn, db, false);

    if (rc)
        return fail(err, db, rc, "reading");
    rc = mdb_stat(txn, db->tables[table], &stat);
    mdb_txn_abort(txn);
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
    for (size_t i = 0; i < LCF_COT_TABLES_N && !rc; i++) {
        rc = mdb_dbi_open(txn, TABLE_NAMES[i], create ? MDB_CREATE : 0, &db->tables[i]);
        db->has[i] = !rc;
        if (rc == MDB_NOTFOUND && i >= LCF_COT_TABLES_OLD_N)
            rc = 0;
    }
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

static lcf_status check_version(lcf_cot_db *db, lcf_err *err)
{
    lcf_buf value = LCF_BUF_INIT;
    const uint8_t *b;
    uint32_t version;
    lcf_status status =
        lcf_cot_db_get(&value, db, LCF_COT_META, FORMAT_KEY, sizeof(FORMAT_KEY) - 1, err);

    if (status == LCF_ENOTFOUND || (!status && value.len != 4))
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: no format version in it", db->data_path);
    if (!status) {
        b = (const uint8_t *)value.data;
        version = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        if (version > LCF_COT_FORMAT_VERSION || version == 0)
            status =
                LCF_FAIL(err, LCF_EVERSION, "%s: format version %u; this program reads up to %u",
                         db->data_path, version, LCF_COT_FORMAT_VERSION);
    }
    lcf_buf_dispose(&value);
    return status;
}

static lcf_status open_env(lcf_cot_db *db, const char *dir, unsigned flags, lcf_err *err)
{
    int rc = mdb_env_create(&db->env);

    if (!rc)
        rc = mdb_env_set_maxdbs(db->env, LCF_COT_TABLES_N);
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
    unsigned flags = access == LCF_COT_WRITE  ? 0
                     : access == LCF_COT_READ ? MDB_RDONLY
                                              : MDB_RDONLY | MDB_NOLOCK;
    int rc, dead;
    lcf_status status;

    if (!lcf_path_exists(db->data_path))
        return LCF_FAIL(err, LCF_ENOENT, "%s: no CoT store there; `llmcf generate` makes one",
                        db->dir);
    if (access != LCF_COT_READ_IMMUTABLE && (status = register_open(db, err)))
        return status;
    status = lcf_cot_check(db->data_path, err);
    if (!status)
        status = open_env(db, db->dir, flags, err);
    if (status)
        return status;
    mdb_reader_check(db->env, &dead); /* readers that were killed pin old pages */
    rc = open_tables(db, false);
    if (rc == MDB_NOTFOUND)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: an LMDB file, but no CoT store", db->data_path);
    status = rc ? fail(err, db, rc, "opening the tables") : check_version(db, err);
    if (status || access != LCF_COT_WRITE || db->has[LCF_COT_TABLES_N - 1])
        return status;
    rc = open_tables(db, true); /* an older store gets the tables that it lacks */
    return rc ? fail(err, db, rc, "adding tables") : LCF_OK;
}

lcf_status lcf_cot_db_open(lcf_cot_db **out, const char *dir, lcf_cot_access access, lcf_err *err)
{
    lcf_cot_db *db = lcf_alloc_zero(1, sizeof(*db));
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!db)
        return LCF_FAIL(err, LCF_ENOMEM, "CoT store handle, %zu bytes", sizeof(*db));
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
    if (db->env)
        mdb_env_close(db->env);
    if (db->registered)
        unregister(db);
    lcf_lock_release(db->writer);
    free(db->dir);
    free(db->data_path);
    free(db);
}
