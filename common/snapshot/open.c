/*
 * Opening a snapshot: the manifest is verified first, then every part is opened, then the parts are
 * held against each other.
 *
 * Invariant: in an open snapshot every index of one part into another is in range, and every arm
 * can score any row.
 */
#include "common/snapshot/snapshot.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/snapshot/root.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLAIM_TRIES = 10 };

lcf_status lcf_snapshot_resolve(char **out, const char *path, lcf_err *err)
{
    char *manifest = lcf_path_join(path, "manifest.json"), *current = NULL, *folder = NULL;
    lcf_status status = LCF_OK;

    *out = NULL;
    if (!manifest) {
        status = LCF_FAIL(err, LCF_ENOMEM, "path of a snapshot");
        goto done;
    }
    if (lcf_path_exists(manifest)) {
        folder = realpath(path, NULL);
    } else {
        current = lcf_path_join(path, "current");
        if (!current) {
            status = LCF_FAIL(err, LCF_ENOMEM, "path of a snapshot");
            goto done;
        }
        folder = realpath(current, NULL);
    }
    if (!folder && errno == ENOENT)
        status = LCF_FAIL(err, LCF_ENOENT,
                          "%s is neither a snapshot (no manifest.json) nor a root of snapshots (no "
                          "current): publish one first",
                          path);
    else if (!folder)
        status = LCF_FAIL_ERRNO(err, "cannot resolve the snapshot %s", path);
    *out = folder;
done:
    free(manifest);
    free(current);
    return status;
}

/* ---- snapshot.json ---- */

static lcf_status read_arms(lcf_snapshot *s, const json_t *json, lcf_err *err)
{
    const json_t *arms = json_object_get(json, "arms");
    const char *default_arm = NULL;
    size_t idx;
    json_t *value;
    lcf_status status = lcf_json_str(&default_arm, json, "default_arm", err);

    if (status)
        return status;
    if (!json_is_array(arms) || json_array_size(arms) < 1 || json_array_size(arms) > LCF_ARMS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "'arms' must be a list of 1 to %d names", LCF_ARMS_MAX);
    s->default_arm = LCF_ARMS_MAX;
    json_array_foreach(arms, idx, value)
    {
        const char *name = json_string_value(value);
        if (!name || !snapshot_name_is_plain(name, LCF_ARM_NAME_BYTES))
            return LCF_FAIL(err, LCF_EFORMAT, "'arms'[%zu] is not a name", idx);
        memcpy(s->arms[idx].name, name, strlen(name) + 1);
        if (!strcmp(name, default_arm))
            s->default_arm = idx;
    }
    s->arms_n = json_array_size(arms);
    if (s->default_arm == LCF_ARMS_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "'default_arm' is none of 'arms'");
    return LCF_OK;
}

static lcf_status read_description(lcf_snapshot *s, bool *has_cots, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "snapshot.json");
    const char *generation;
    uint64_t format;
    json_t *json = NULL;
    lcf_status status =
        path ? lcf_json_load(&json, path, err) : LCF_FAIL(err, LCF_ENOMEM, "snapshot.json");

    if (status)
        goto done;
    status = lcf_json_u64(&format, json, "format", err);
    if (!status && format != LCF_SNAPSHOT_FORMAT)
        status = LCF_FAIL(err, LCF_EVERSION, "format %llu, this program reads %d",
                          (unsigned long long)format, LCF_SNAPSHOT_FORMAT);
    if (!status)
        status = lcf_json_str(&generation, json, "generation", err);
    if (!status && !snapshot_name_is_plain(generation, LCF_GENERATION_BYTES))
        status = LCF_FAIL(err, LCF_EFORMAT, "'generation' is not a name");
    if (!status)
        status = read_arms(s, json, err);
    if (status) {
        lcf_err_prefix(err, "%s", path);
        goto done;
    }
    memcpy(s->generation, generation, strlen(generation) + 1);
    s->has_examples = json_is_true(json_object_get(json, "has_examples"));
    s->has_neighbours = s->has_examples && json_is_true(json_object_get(json, "has_neighbours"));
    *has_cots = json_is_true(json_object_get(json, "has_cots"));
    s->has_knowledge = json_is_true(json_object_get(json, "has_knowledge"));
    s->has_fields = json_is_true(json_object_get(json, "has_fields"));
    s->has_text_encoder = json_is_true(json_object_get(json, "has_text_encoder"));
done:
    json_decref(json);
    free(path);
    return status;
}

/* ---- parts ---- */

static lcf_status open_features(lcf_snapshot *s, const char *dir, lcf_err *err)
{
    char *items = lcf_path_join(dir, "items.lcf"), *users = lcf_path_join(dir, "users.lcf");
    char *vectors = lcf_path_join(dir, "item_vectors.lcf");
    lcf_status status = LCF_OK;

    if (!items || !users || !vectors)
        status = LCF_FAIL(err, LCF_ENOMEM, "paths of the snapshot");
    if (!status)
        status = lcf_catalogue_open(&s->catalogue, items, err);
    if (!status)
        status = lcf_user_histories_open(&s->users, users, s->catalogue.items_n, err);
    if (!status)
        status = lcf_embeddings_open(&s->item_vectors, vectors, err);
    if (!status && s->item_vectors.n != s->catalogue.items_n)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: %zu vectors for %u items", vectors,
                          s->item_vectors.n, s->catalogue.items_n);
    free(items);
    free(users);
    free(vectors);
    return status;
}

static lcf_status check_examples(const lcf_snapshot *s, const char *dir, lcf_err *err)
{
    const lcf_examples *e = &s->examples;

    if (e->text_dim != s->item_vectors.dim)
        return LCF_FAIL(err, LCF_EFORMAT, "%s: texts of %zu dimensions, item vectors have %zu", dir,
                        e->text_dim, s->item_vectors.dim);
    for (size_t i = 0; i < e->n; i++) {
        if (e->user[i] >= s->users.users_n || e->item[i] >= s->catalogue.items_n)
            return LCF_FAIL(err, LCF_EFORMAT,
                            "%s: example %zu names a user or item that is not "
                            "in the snapshot",
                            dir, i);
        if (e->history_n[i] > LCF_HISTORY_MAX)
            return LCF_FAIL(err, LCF_EFORMAT, "%s: example %zu has a history of %u", dir, i,
                            e->history_n[i]);
    }
    for (size_t i = 0; i < e->n * LCF_HISTORY_MAX; i++)
        if (e->history[i] >= s->catalogue.items_n)
            return LCF_FAIL(err, LCF_EFORMAT, "%s: history[%zu] is not in the catalogue", dir, i);
    return LCF_OK;
}

static lcf_status open_examples(lcf_snapshot *s, const char *dir, bool has_cots, lcf_err *err)
{
    char *examples = lcf_path_join(dir, "examples"), *cots = lcf_path_join(dir, "cot");
    char *neighbours = lcf_path_join(dir, "neighbours.lcf");
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_status status = LCF_OK;

    options.immutable = true;
    if (!examples || !cots || !neighbours)
        status = LCF_FAIL(err, LCF_ENOMEM, "paths of the snapshot");
    if (!status && s->has_examples)
        status = lcf_examples_open_for_requests(&s->examples, examples, s->has_neighbours, err);
    if (!status && s->has_examples)
        status = check_examples(s, examples, err);
    if (!status && s->has_neighbours)
        status = lcf_neighbours_open(&s->neighbours, neighbours, s->catalogue.items_n, &s->examples,
                                     err);
    if (!status && has_cots)
        status = lcf_cot_store_open(&s->cots, cots, &options, err);
    free(examples);
    free(neighbours);
    free(cots);
    return status;
}

static lcf_status open_knowledge(lcf_snapshot *s, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "knowledge.lcf");
    lcf_status status =
        path ? lcf_knowledge_open(&s->knowledge, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path");

    if (!status && s->knowledge.dim != s->item_vectors.dim)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: vectors of %zu dimensions, item vectors have %zu",
                          path, s->knowledge.dim, s->item_vectors.dim);
    free(path);
    return status;
}

static lcf_status open_fields(lcf_snapshot *s, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "fields.lcf");
    lcf_status status =
        path ? lcf_fields_open(&s->fields, path, err) : LCF_FAIL(err, LCF_ENOMEM, "path");

    if (!status)
        status = lcf_fields_check(&s->fields, s->users.users_n, &s->catalogue, 0, err);
    free(path);
    return status;
}

static lcf_status open_text_encoder(lcf_snapshot *s, const char *dir, lcf_err *err)
{
    char *path = lcf_path_join(dir, "text_encoder.lcf");
    lcf_status status = path ? lcf_text_encoder_open(&s->text_encoder, path, err)
                             : LCF_FAIL(err, LCF_ENOMEM, "path");

    if (!status && s->text_encoder.dim != s->item_vectors.dim)
        status = LCF_FAIL(err, LCF_EFORMAT, "%s: vectors of %zu dimensions, item vectors have %zu",
                          path, s->text_encoder.dim, s->item_vectors.dim);
    free(path);
    return status;
}

static unsigned needs_of(const lcf_snapshot *s, size_t idx)
{
    return lcf_ranker_side_needs(lcf_ranker_config_of(s->arms[idx].ranker)->side);
}

static lcf_status check_arm(const lcf_snapshot *s, size_t idx, lcf_err *err)
{
    const lcf_ranker_config *c = lcf_ranker_config_of(s->arms[idx].ranker);
    const unsigned needs = needs_of(s, idx);

    if (needs & LCF_RANKER_VECTORS && c->text_dim != s->item_vectors.dim)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "arm %s takes item vectors of %u dimensions, there are %zu",
                        s->arms[idx].name, c->text_dim, s->item_vectors.dim);
    if (needs & LCF_RANKER_KNOWLEDGE && !s->has_knowledge)
        return LCF_FAIL(err, LCF_EFORMAT, "arm %s needs knowledge, there is none",
                        s->arms[idx].name);
    if (!(needs & LCF_RANKER_EXAMPLES))
        return LCF_OK;
    if (c->k < 1 || c->k > LCF_EXAMPLES_K_MAX)
        return LCF_FAIL(err, LCF_EFORMAT, "arm %s takes %u examples", s->arms[idx].name, c->k);
    if (c->by == LCF_RETRIEVE_BY_CODES)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "arm %s was trained with examples that were found by codes, which a "
                        "snapshot does not hold; `llmcf retrieve` without --codes for what is to "
                        "be served",
                        s->arms[idx].name);
    if (s->has_examples && c->cot_dim != s->examples.cot_dim)
        return LCF_FAIL(err, LCF_EFORMAT,
                        "arm %s takes CoT vectors of %u dimensions, the examples have %zu",
                        s->arms[idx].name, c->cot_dim, s->examples.cot_dim);
    return LCF_OK;
}

/* What the arm's tokens are made from never changes in a snapshot: they were computed when it was
 * published, or are now. */
static lcf_status freeze_arm(lcf_snapshot *s, size_t idx, const char *dir, lcf_err *err)
{
    const lcf_ranker_source source = {.catalogue = &s->catalogue,
                                      .item_vectors = &s->item_vectors,
                                      .examples = s->has_examples ? &s->examples : NULL,
                                      .knowledge = s->has_knowledge ? &s->knowledge : NULL,
                                      .fields = s->has_fields ? &s->fields : NULL};
    lcf_buf path = LCF_BUF_INIT;
    lcf_status status;

    if (needs_of(s, idx) & LCF_RANKER_EXAMPLES && !s->has_examples)
        return LCF_OK; /* another arm answers */
    lcf_buf_printf(&path, "%s/tokens/%s.lcf", dir, s->arms[idx].name);
    if (path.status)
        status = LCF_FAIL(err, path.status, "path of the tokens");
    else if (lcf_path_exists(path.data))
        status = lcf_ranker_freeze_from(s->arms[idx].ranker, &source, path.data, err);
    else
        status = lcf_ranker_freeze(s->arms[idx].ranker, &source, err);
    lcf_buf_dispose(&path);
    return status;
}

static lcf_status open_arms(lcf_snapshot *s, const char *dir, lcf_err *err)
{
    bool without = false, with = false;
    lcf_status status = LCF_OK;

    for (size_t i = 0; !status && i < s->arms_n; i++) {
        lcf_buf path = LCF_BUF_INIT;
        lcf_buf_printf(&path, "%s/arms/%s.lcf", dir, s->arms[i].name);
        status = path.status ? LCF_FAIL(err, path.status, "path of arm %s", s->arms[i].name)
                             : lcf_ranker_open(&s->arms[i].ranker, path.data, err);
        lcf_buf_dispose(&path);
        if (!status)
            status = check_arm(s, i, err);
        if (!status)
            status = freeze_arm(s, i, dir, err);
        if (!status && needs_of(s, i) & LCF_RANKER_EXAMPLES)
            with = true;
        else
            without = true;
    }
    if (!status && with && !without && !s->has_examples)
        status = LCF_FAIL(
            err, LCF_EFORMAT,
            "%s: an arm that reads them needs examples, or another arm to fall back on", dir);
    return status;
}

static lcf_status open_parts(lcf_snapshot *s, const char *dir, lcf_err *err)
{
    bool has_cots = false;
    lcf_status status = read_description(s, &has_cots, dir, err);

    if (!status)
        status = open_features(s, dir, err);
    if (!status)
        status = open_examples(s, dir, has_cots, err);
    if (!status && s->has_knowledge)
        status = open_knowledge(s, dir, err);
    if (!status && s->has_fields)
        status = open_fields(s, dir, err);
    if (!status && s->has_text_encoder)
        status = open_text_encoder(s, dir, err);
    if (!status)
        status = open_arms(s, dir, err);
    return status;
}

lcf_status lcf_snapshot_open_stage(lcf_snapshot **out, const char *dir, lcf_err *err)
{
    lcf_snapshot *s = lcf_alloc_zero(1, sizeof(*s));
    lcf_status status;

    *out = NULL;
    if (!s)
        return LCF_FAIL(err, LCF_ENOMEM, "snapshot handle");
    s->claim_fd = -1;
    status = open_parts(s, dir, err);
    if (status)
        lcf_snapshot_close(s);
    else
        *out = s;
    return status;
}

/* The folder that `path` names, claimed. Between looking up `current` and the claim it may have
 * moved and the folder been retired: then it is looked up again. */
static lcf_status claim(char **dir, int *fd, const char *path, lcf_err *err)
{
    lcf_status status = LCF_ENOENT;

    for (int i = 0; i < CLAIM_TRIES && status == LCF_ENOENT; i++) {
        free(*dir);
        status = lcf_snapshot_resolve(dir, path, err);
        if (status)
            return status;
        status = snapshot_claim(fd, *dir, err);
    }
    return status;
}

lcf_status lcf_snapshot_open(lcf_snapshot **out, const char *path, lcf_err *err)
{
    char *dir = NULL, id[65];
    int fd = -1;
    lcf_status status = claim(&dir, &fd, path, err);

    *out = NULL;
    if (!status)
        status = lcf_manifest_verify_fast(dir, err);
    if (!status)
        status = lcf_manifest_read(id, NULL, dir, err);
    if (!status)
        status = lcf_snapshot_open_stage(out, dir, err);
    if (!status) {
        memcpy((*out)->id, id, sizeof(id));
        (*out)->claim_fd = fd;
        fd = -1;
    }
    if (fd >= 0)
        close(fd);
    free(dir);
    return status;
}

void lcf_snapshot_close(lcf_snapshot *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->arms_n; i++)
        lcf_ranker_free(s->arms[i].ranker);
    lcf_cot_store_close(s->cots);
    lcf_neighbours_close(&s->neighbours);
    lcf_examples_close(&s->examples);
    lcf_knowledge_close(&s->knowledge);
    lcf_fields_close(&s->fields);
    lcf_text_encoder_close(&s->text_encoder);
    lcf_embeddings_close(&s->item_vectors);
    lcf_user_histories_close(&s->users);
    lcf_catalogue_close(&s->catalogue);
    if (s->claim_fd >= 0)
        close(s->claim_fd);
    free(s);
}
