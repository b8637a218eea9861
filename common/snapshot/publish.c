/*
 * Publishing: stage a generation beside the others, write its manifest, open it as a server would,
 * give it its name, move `current`, retire what is old.
 *
 * Invariant: `current` names a generation that was opened with success by this program, whenever a
 * process dies. `current` is a relative link, so a root may be moved or copied as a whole.
 */
#include "common/snapshot/snapshot.h"

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/mem.h"
#include "common/snapshot/copy.h"
#include "common/snapshot/root.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct publisher {
    const lcf_publish_options *options;
    const char *root;
    char *target; /* <root>/<generation> */
    lcf_lock *lock;
    lcf_manifest *manifest;
    lcf_stage *stage;
} publisher;

/* ---- checks ---- */

static const char *default_arm(const lcf_publish_options *o)
{
    return o->default_arm ? o->default_arm : o->arms[o->arms_n - 1].name;
}

static lcf_status check_arms(const lcf_publish_options *o, lcf_err *err)
{
    bool found = false;

    if (o->arms_n < 1 || o->arms_n > LCF_ARMS_MAX)
        return LCF_FAIL(err, LCF_EINVAL, "%zu arms; 1 to %d can be published", o->arms_n,
                        LCF_ARMS_MAX);
    for (size_t i = 0; i < o->arms_n; i++) {
        if (!snapshot_name_is_plain(o->arms[i].name, LCF_ARM_NAME_BYTES))
            return LCF_FAIL(err, LCF_EINVAL,
                            "arm name '%s': up to %d letters, digits, '-', '_' and '.', not "
                            "beginning with a dot",
                            o->arms[i].name, LCF_ARM_NAME_BYTES - 1);
        for (size_t other = 0; other < i; other++)
            if (!strcmp(o->arms[i].name, o->arms[other].name))
                return LCF_FAIL(err, LCF_EINVAL, "arm '%s' is given twice", o->arms[i].name);
        found = found || !strcmp(o->arms[i].name, default_arm(o));
    }
    if (!found)
        return LCF_FAIL(err, LCF_EINVAL, "the default arm '%s' is none of the arms",
                        default_arm(o));
    return LCF_OK;
}

static lcf_status check_options(const lcf_publish_options *o, lcf_err *err)
{
    lcf_status status = snapshot_check_name(o->generation, err);

    return status ? status : check_arms(o, err);
}

/* ---- manifest ---- */

/* A CoT store is written in place: it is known by its database where it has no manifest. */
static lcf_status add_cot_input(lcf_manifest *m, const char *dir, lcf_err *err)
{
    char *manifest = lcf_path_join(dir, "manifest.json"), *data = lcf_path_join(dir, "data.mdb");
    lcf_status status;

    if (!manifest || !data)
        status = LCF_FAIL(err, LCF_ENOMEM, "path of the CoT store");
    else
        status = lcf_manifest_input(m, "cot", lcf_path_exists(manifest) ? dir : data, err);
    free(manifest);
    free(data);
    return status;
}

static lcf_status describe(lcf_manifest *m, const lcf_publish_options *o, lcf_err *err)
{
    lcf_status status = lcf_manifest_param_str(m, "default_arm", default_arm(o), err);

    if (!status)
        status = lcf_manifest_input(m, "dataset", o->dataset_dir, err);
    if (!status)
        status = lcf_manifest_input(m, "vectors", o->vectors_dir, err);
    if (!status && o->examples_dir)
        status = lcf_manifest_input(m, "examples", o->examples_dir, err);
    if (!status && o->cot_dir)
        status = add_cot_input(m, o->cot_dir, err);
    if (!status && o->knowledge_dir)
        status = lcf_manifest_input(m, "knowledge", o->knowledge_dir, err);
    for (size_t i = 0; !status && i < o->arms_n; i++) {
        char role[LCF_ARM_NAME_BYTES + 8];
        snprintf(role, sizeof(role), "arm:%s", o->arms[i].name);
        status = lcf_manifest_input(m, role, o->arms[i].weights_path, err);
    }
    return status;
}

/* ---- writing ---- */

static lcf_status copy_into(const char *dir, const char *name, const char *from_dir,
                            const char *from_name, lcf_err *err)
{
    char *to = lcf_path_join(dir, name), *from = lcf_path_join(from_dir, from_name);
    lcf_status status = to && from ? snapshot_copy_file(to, from, err)
                                   : LCF_FAIL(err, LCF_ENOMEM, "path of %s", name);

    free(to);
    free(from);
    return status;
}

/* The fields of users and items; those of the context as definitions alone. */
static lcf_status write_fields(const char *path, const lcf_fields *from, lcf_err *err)
{
    static const uint64_t no_entries[1] = {0};
    lcf_fields fields = *from;

    for (size_t i = 0; i < fields.n; i++)
        if (fields.list[i].owner == LCF_FIELD_CONTEXT) {
            fields.list[i].entities_n = 0;
            fields.list[i].offsets = no_entries;
        }
    return lcf_fields_save(path, &fields, err);
}

static lcf_status write_users(bool *has_fields, const char *dir, const char *dataset_dir,
                              lcf_err *err)
{
    char *users = lcf_path_join(dir, "users.lcf"), *fields = lcf_path_join(dir, "fields.lcf");
    lcf_dataset d;
    lcf_status status = users && fields ? lcf_dataset_open(&d, dataset_dir, err)
                                        : LCF_FAIL(err, LCF_ENOMEM, "paths of the snapshot");

    if (!status) {
        *has_fields = d.fields != NULL;
        status = lcf_user_histories_save(users, &d, err);
        if (!status && d.fields)
            status = write_fields(fields, d.fields, err);
        lcf_dataset_close(&d);
    }
    free(users);
    free(fields);
    return status;
}

static lcf_status write_examples(const char *dir, const lcf_publish_options *o, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    char *examples = lcf_path_join(dir, "examples"), *cots = lcf_path_join(dir, "cot");
    lcf_cot_store *store = NULL;
    lcf_status status = LCF_OK;

    if (!examples || !cots)
        status = LCF_FAIL(err, LCF_ENOMEM, "paths of the snapshot");
    if (!status && o->examples_dir)
        status = snapshot_copy_folder(examples, o->examples_dir, err);
    if (!status && o->cot_dir) {
        status = lcf_cot_store_open(&store, o->cot_dir, &options, err);
        if (!status)
            status = lcf_cot_store_copy(store, cots, err);
        lcf_cot_store_close(store);
    }
    free(examples);
    free(cots);
    return status;
}

/* What made the item vectors, so that a request can bring texts of items that are not known; left
 * out where it is a model, which only the offline side can run. */
static lcf_status write_text_encoder(bool *written, const char *dir, const char *vectors_dir,
                                     lcf_err *err)
{
    char *from = lcf_path_join(vectors_dir, "encoder.lcf"), *to;
    lcf_status status = LCF_OK;

    to = lcf_path_join(dir, "text_encoder.lcf");
    *written = false;
    if (!from || !to) {
        status = LCF_FAIL(err, LCF_ENOMEM, "path of the encoder");
    } else if (lcf_path_exists(from) && !lcf_text_encoder_is_model(from)) {
        status = snapshot_copy_file(to, from, err);
        *written = !status;
    }
    free(from);
    free(to);
    return status;
}

/* Lists that let rank() find examples without looking at all of them; written to be left out when
 * they would cost too much. */
static lcf_status write_neighbours(bool *written, const char *dir, lcf_err *err)
{
    char *vectors = lcf_path_join(dir, "item_vectors.lcf");
    char *examples = lcf_path_join(dir, "examples"), *path = lcf_path_join(dir, "neighbours.lcf");
    lcf_embeddings items = {0};
    lcf_examples e = {0};
    lcf_status status = LCF_OK;

    if (!vectors || !examples || !path)
        status = LCF_FAIL(err, LCF_ENOMEM, "paths of the snapshot");
    if (!status)
        status = lcf_embeddings_open(&items, vectors, err);
    if (!status)
        status = lcf_examples_open(&e, examples, err);
    if (!status)
        status = lcf_neighbours_save(written, path, &items, &e, err);
    lcf_examples_close(&e);
    lcf_embeddings_close(&items);
    free(vectors);
    free(examples);
    free(path);
    return status;
}

static lcf_status write_arms(const char *dir, const lcf_publish_options *o, lcf_err *err)
{
    char *arms = lcf_path_join(dir, "arms");
    lcf_status status =
        arms ? lcf_dir_create(arms, err) : LCF_FAIL(err, LCF_ENOMEM, "path of the arms");

    for (size_t i = 0; !status && i < o->arms_n; i++) {
        lcf_buf path = LCF_BUF_INIT;
        lcf_buf_printf(&path, "%s/%s.lcf", arms, o->arms[i].name);
        status = path.status ? LCF_FAIL(err, path.status, "path of arm %s", o->arms[i].name)
                             : snapshot_copy_file(path.data, o->arms[i].weights_path, err);
        lcf_buf_dispose(&path);
    }
    free(arms);
    return status;
}

/* Which of the parts were written that are there in some snapshots only. */
typedef struct parts {
    bool neighbours, fields, text_encoder;
} parts;

static lcf_status write_description(const char *dir, const publisher *p, const parts *written,
                                    lcf_err *err)
{
    const lcf_publish_options *o = p->options;
    char *path = lcf_path_join(dir, "snapshot.json"), *parent = NULL;
    json_t *arms = json_array(), *json = NULL;
    lcf_status status = snapshot_current(&parent, p->root, err);

    for (size_t i = 0; i < o->arms_n; i++)
        if (json_array_append_new(arms, json_string(o->arms[i].name)) < 0)
            status = LCF_FAIL(err, LCF_ENOMEM, "snapshot.json");
    if (!status)
        json = json_pack("{s:i, s:s?, s:s?, s:s, s:s, s:O, s:b, s:b, s:b, s:b, s:b, s:b}", "format",
                         LCF_SNAPSHOT_FORMAT, "parent", parent, "gate", o->gate, "generation",
                         o->generation, "default_arm", default_arm(o), "arms", arms, "has_examples",
                         o->examples_dir != NULL, "has_neighbours", (int)written->neighbours,
                         "has_cots", o->cot_dir != NULL, "has_knowledge", o->knowledge_dir != NULL,
                         "has_fields", (int)written->fields, "has_text_encoder",
                         (int)written->text_encoder);
    if (!status)
        status = path && json ? lcf_json_save(path, json, err)
                              : LCF_FAIL(err, LCF_ENOMEM, "snapshot.json");
    free(parent);
    json_decref(arms);
    json_decref(json);
    free(path);
    return status;
}

/* What the arms would compute each time they are opened. */
static lcf_status write_tokens(const char *dir, lcf_err *err)
{
    lcf_snapshot *s = NULL;
    char *tokens = lcf_path_join(dir, "tokens");
    lcf_status status =
        tokens ? lcf_dir_create(tokens, err) : LCF_FAIL(err, LCF_ENOMEM, "path of the tokens");

    if (!status)
        status = lcf_snapshot_open_stage(&s, dir, err);
    for (size_t i = 0; !status && i < s->arms_n; i++) {
        lcf_buf path = LCF_BUF_INIT;
        if (!lcf_ranker_has_tokens(s->arms[i].ranker))
            continue;
        lcf_buf_printf(&path, "%s/%s.lcf", tokens, s->arms[i].name);
        status = path.status ? LCF_FAIL(err, path.status, "path of the tokens")
                             : lcf_ranker_save_tokens(s->arms[i].ranker, path.data, err);
        lcf_buf_dispose(&path);
    }
    lcf_snapshot_close(s);
    free(tokens);
    return status;
}

/* The stage becomes a whole generation that opens. */
static lcf_status fill_stage(publisher *p, lcf_publish_result *out, lcf_err *err)
{
    const lcf_publish_options *o = p->options;
    const char *dir = lcf_stage_path(p->stage);
    lcf_snapshot *opened = NULL;
    parts written = {0};
    lcf_status status = copy_into(dir, "items.lcf", o->dataset_dir, "items.lcf", err);

    if (!status)
        status = copy_into(dir, "item_vectors.lcf", o->vectors_dir, "items.lcf", err);
    if (!status)
        status = write_text_encoder(&written.text_encoder, dir, o->vectors_dir, err);
    if (!status)
        status = write_users(&written.fields, dir, o->dataset_dir, err);
    if (!status)
        status = write_examples(dir, o, err);
    if (!status && o->knowledge_dir)
        status = copy_into(dir, "knowledge.lcf", o->knowledge_dir, "knowledge.lcf", err);
    if (!status && o->examples_dir)
        status = write_neighbours(&written.neighbours, dir, err);
    if (!status)
        status = write_arms(dir, o, err);
    if (!status)
        status = write_description(dir, p, &written, err);
    if (!status) {
        status = write_tokens(dir, err);
        if (status)
            lcf_err_prefix(err, "the new generation does not open and is not published");
    }
    if (!status)
        status = lcf_manifest_write(p->manifest, dir, err);
    if (!status) {
        status = lcf_snapshot_open(&opened, dir, err);
        if (status)
            lcf_err_prefix(err, "the new generation does not open and is not published");
    }
    if (!status)
        memcpy(out->id, opened->id, sizeof(out->id));
    lcf_snapshot_close(opened);
    return status;
}

/* ---- publish ---- */

static lcf_status set_generation(lcf_publish_result *out, const char *name, lcf_err *err)
{
    size_t n = strlen(name);

    if (n >= sizeof(out->generation))
        return LCF_FAIL(err, LCF_EINVAL, "generation name '%s' is too long", name);
    memcpy(out->generation, name, n + 1);
    return LCF_OK;
}

/* Whether `current` was made from just these inputs and is still whole. */
static bool current_is_same(publisher *p, lcf_publish_result *out)
{
    char *dir = NULL;
    bool same = !lcf_snapshot_resolve(&dir, p->root, NULL) &&
                lcf_manifest_is_current(p->manifest, dir) && !lcf_manifest_verify(dir, NULL) &&
                !lcf_manifest_read(out->id, NULL, dir, NULL) &&
                !set_generation(out, strrchr(dir, '/') + 1, NULL);

    free(dir);
    return same;
}

/* Whether the generation is there already, made from just these inputs: a publisher that was killed
 * before it moved `current` left it. */
static bool target_is_same(publisher *p, lcf_publish_result *out)
{
    return lcf_manifest_is_current(p->manifest, p->target) &&
           !lcf_manifest_verify(p->target, NULL) &&
           !lcf_manifest_read(out->id, NULL, p->target, NULL);
}

static lcf_status write_generation(publisher *p, lcf_publish_result *out, lcf_err *err)
{
    lcf_status status = lcf_stage_open(&p->stage, p->target, err);

    if (!status)
        status = fill_stage(p, out, err);
    if (status)
        return status;
    status = lcf_stage_commit(p->stage, err);
    p->stage = NULL;
    return status;
}

static lcf_status make_current(publisher *p, lcf_publish_result *out, lcf_err *err)
{
    const lcf_publish_options *o = p->options;
    lcf_status status = LCF_OK;

    p->target = lcf_path_join(p->root, o->generation);
    if (!p->target)
        return LCF_FAIL(err, LCF_ENOMEM, "path of the generation");
    if (!lcf_path_exists(p->target))
        status = write_generation(p, out, err);
    else if (o->force || !target_is_same(p, out))
        status = LCF_FAIL(err, LCF_EEXIST, "%s exists; a generation is never changed", p->target);
    if (!status)
        status = snapshot_move_current(p->root, o->generation, "publish", o->gate, err);
    if (!status)
        status = set_generation(out, o->generation, err);
    if (!status)
        status = snapshot_root_retire(&out->retired_n, &out->in_use_n, p->root, o->keep, err);
    return status;
}

lcf_status lcf_snapshot_publish(lcf_publish_result *out, const char *root,
                                const lcf_publish_options *options, lcf_err *err)
{
    publisher p = {.options = options, .root = root};
    lcf_status status = check_options(options, err);

    memset(out, 0, sizeof(*out));
    if (!status)
        status = snapshot_root_lock(&p.lock, root, err);
    if (!status)
        status = lcf_manifest_create(&p.manifest, "publish", err);
    if (!status)
        status = describe(p.manifest, options, err);
    if (status)
        goto done;
    if (!options->force && current_is_same(&p, out))
        out->unchanged = true;
    else
        status = make_current(&p, out, err);
done:
    lcf_stage_abandon(p.stage);
    lcf_manifest_free(p.manifest);
    lcf_lock_release(p.lock);
    free(p.target);
    return status;
}
