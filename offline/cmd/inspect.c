/*
 * llmcf inspect: what is in a file or folder of this project, or what this machine offers.
 *
 * Every kind of thing is described as one JSON object; --json prints it, otherwise it is shown as
 * lines of "key: value".
 */
#include "common/base/bundle.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/manifest.h"
#include "common/base/options.h"
#include "common/math/amx.h"
#include "common/math/kernels.h"
#include "common/math/product.h"
#include "common/store/cot_json.h"
#include "offline/cmd/inspect_model.h"
#include "offline/cmd/rows.h"
#include "offline/cmd/verbs.h"
#include "offline/llama/matrix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct arguments {
    const char *path;
    bool system, tensors, json;
} arguments;

static const lcf_option OPTIONS[] = {
    {"system", NULL, "Describe this machine and program instead of a file", 0,
     LCF_OPT_FLAG(system)},
    {"tensors", NULL, "Of a model: list every tensor with type, dimensions and bytes", 0,
     LCF_OPT_FLAG(tensors)},
    LCF_ROW_JSON(0, "one JSON object"),
    {NULL, "[PATH]", NULL, 0, LCF_OPT_TEXT(path)},
    {0},
};

static const char DOC[] =
    "Show what a file or folder holds: a model (GGUF; of several files name the first), a bundle "
    "(.lcf: datasets, embeddings, "
    "ranker weights, predictions), or an artefact folder with its manifest; of a store of "
    "chains of thought also how many records there are, kept and rejected, by reason.\v"
    "Reads only; bundles and manifests are verified against their checksums. With --system it "
    "tells the processor's vector features, the units that multiply matrices, the BLAS core in "
    "use (a slow fallback is pointed out) and versions.\n\n"
    "Examples:\n  llmcf inspect recgen/recgen.gguf\n  llmcf inspect --json dataset\n"
    "  llmcf inspect --json cot | jq .store.reasons\n"
    "  llmcf inspect --tensors recgen/recgen.gguf\n"
    "  llmcf inspect --system";

static void check(void *input, struct argp_state *state)
{
    const arguments *o = input;

    if (!o->path == !o->system)
        argp_error(state, "give either a PATH or --system");
}

/* ---- descriptions: each adds to `out` ---- */

static void set_text(json_t *out, const char *key, const char *text)
{
    json_object_set_new(out, key, json_string(text));
}

static void set_n(json_t *out, const char *key, uint64_t n)
{
    json_object_set_new(out, key, json_integer((json_int_t)n));
}

static json_t *dims_json(const uint64_t *dims, uint32_t dims_n)
{
    json_t *list = json_array();

    for (uint32_t d = 0; d < dims_n; d++)
        json_array_append_new(list, json_integer((json_int_t)dims[d]));
    return list;
}

static const char *dtype_text(lcf_dtype dtype)
{
    switch (dtype) {
    case LCF_U8:
        return "u8";
    case LCF_U32:
        return "u32";
    case LCF_U64:
        return "u64";
    case LCF_I32:
        return "i32";
    case LCF_I64:
        return "i64";
    case LCF_F32:
        return "f32";
    case LCF_F64:
        return "f64";
    case LCF_I16:
        return "i16";
    }
    return "?";
}

static lcf_status describe_bundle(json_t *out, const char *path, lcf_err *err)
{
    json_t *arrays = json_object();
    lcf_bundle *b;
    lcf_status status = lcf_bundle_open(&b, path, NULL, UINT32_MAX, err);

    if (status) {
        json_decref(arrays);
        return status;
    }
    set_text(out, "kind", "bundle");
    set_text(out, "bundle_kind", lcf_bundle_kind(b));
    set_n(out, "version", lcf_bundle_version(b));
    for (size_t i = 0; i < lcf_bundle_arrays_n(b); i++) {
        const lcf_array *a = lcf_bundle_array(b, i);
        json_t *row = json_object();
        set_text(row, "dtype", dtype_text(a->dtype));
        json_object_set_new(row, "dims", dims_json(a->dims, a->dims_n));
        json_object_set_new(arrays, a->name, row);
    }
    json_object_set_new(out, "arrays", arrays);
    lcf_bundle_close(b);
    return LCF_OK;
}

static bool has_file(const char *folder, const char *name)
{
    char *path = lcf_path_join(folder, name);
    const bool there = path && !access(path, F_OK);

    free(path);
    return there;
}

static lcf_status describe_store(json_t *out, const char *path, lcf_err *err)
{
    lcf_cot_store_options options = LCF_COT_STORE_OPTIONS_INIT;
    lcf_cot_store *store;
    json_t *numbers;
    lcf_status status;

    options.immutable = !has_file(path, "writer.lock"); /* a copy, such as a snapshot's */
    status = lcf_cot_store_open(&store, path, &options, err);
    if (status)
        return status;
    status = lcf_cot_stats_json(&numbers, store, err);
    lcf_cot_store_close(store);
    if (!status)
        json_object_set_new(out, "store", numbers);
    return status;
}

static lcf_status describe_artefact(json_t *out, const char *path, lcf_err *err)
{
    json_t *manifest = NULL;
    char id[65];
    lcf_status status = lcf_manifest_read(id, &manifest, path, err);

    if (!status)
        status = lcf_manifest_verify(path, err);
    if (!status) {
        set_text(out, "kind", "artefact");
        set_text(out, "id", id);
        json_object_set_new(out, "verified", json_true());
        json_object_update(out, manifest);
    }
    json_decref(manifest);
    return status;
}

/* A store is one also while its job is under way, before it has a manifest. */
static lcf_status describe_folder(json_t *out, const char *path, lcf_err *err)
{
    const bool store = has_file(path, "data.mdb");
    lcf_status status = LCF_OK;

    if (store && !lcf_manifest_exists(path))
        set_text(out, "kind", "store");
    else
        status = describe_artefact(out, path, err);
    return store && !status ? describe_store(out, path, err) : status;
}

static lcf_status describe_path(json_t *out, const char *path, bool tensors, lcf_err *err)
{
    char magic[4] = {0};
    struct stat info;
    FILE *f;
    size_t n;

    if (stat(path, &info))
        return LCF_FAIL_ERRNO(err, "%s", path);
    if (S_ISDIR(info.st_mode))
        return describe_folder(out, path, err);
    f = fopen(path, "rb");
    if (!f)
        return LCF_FAIL_ERRNO(err, "%s", path);
    n = fread(magic, 1, sizeof(magic), f);
    fclose(f);
    if (n == sizeof(magic) && !memcmp(magic, "GGUF", 4))
        return lcf_inspect_model(out, path, tensors, err);
    return describe_bundle(out, path, err);
}

static const char *simd_text(lcf_simd_level level)
{
    switch (level) {
    case LCF_SIMD_AVX512:
        return "avx512";
    case LCF_SIMD_AVX2:
        return "avx2";
    case LCF_SIMD_BASELINE:
        break;
    }
    return "baseline";
}

static json_t *features_json(void)
{
    json_t *list = json_array();

#if defined(__x86_64__)
    __builtin_cpu_init();
#define FEATURE(name)                 \
    if (__builtin_cpu_supports(name)) \
    json_array_append_new(list, json_string(name))
    FEATURE("sse4.2");
    FEATURE("avx");
    FEATURE("avx2");
    FEATURE("fma");
    FEATURE("avx512f");
    FEATURE("avx512bw");
    FEATURE("avx512vl");
    FEATURE("avx512vnni");
    FEATURE("avx512bf16");
#undef FEATURE
    if (lcf_amx_ready())
        json_array_append_new(list, json_string("amx"));
#endif
    return list;
}

/* What multiplies: the weights of the batch engine by type, and bf16 in training. */
static json_t *matrix_units_json(void)
{
    static const struct {
        const char *name;
        lcf_matrix_kind kind;
    } KINDS[] = {{"f32", LCF_MATRIX_F32},
                 {"f16", LCF_MATRIX_F16},
                 {"bf16", LCF_MATRIX_BF16},
                 {"q8_0", LCF_MATRIX_Q8},
                 {"q4_0", LCF_MATRIX_Q4}};
    json_t *units = json_object();

    for (size_t i = 0; i < sizeof(KINDS) / sizeof(*KINDS); i++)
        set_text(units, KINDS[i].name, lcf_matrix_level_name(lcf_matrix_level_of(KINDS[i].kind)));
    set_text(units, "training_bf16", lcf_bf16_unit_name(lcf_bf16_in_use()));
    return units;
}

static void describe_system(json_t *out)
{
    bool fast = false;
    const char *core = lcf_blas_core(&fast);
    long processors = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES);

    set_text(out, "kind", "system");
    set_text(out, "llmcf", LCF_VERSION);
    set_text(out, "compiler", __VERSION__);
    set_n(out, "processors", processors > 0 ? (uint64_t)processors : 1);
    set_n(out, "memory_bytes", pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0);
    json_object_set_new(out, "features", features_json());
    set_text(out, "kernels", simd_text(lcf_simd_best()));
    json_object_set_new(out, "matrix_units", matrix_units_json());
    set_text(out, "blas_core", core);
    json_object_set_new(out, "blas_fast", json_boolean(fast));
    set_text(out, "jansson", jansson_version_str());
}

/* ---- output ---- */

/* The texts of a file are shown, not obeyed: a terminal gets no control characters of theirs. */
static void print_scalar(const json_t *value)
{
    if (json_is_string(value))
        for (const char *c = json_string_value(value); *c; c++)
            putchar((unsigned char)*c < ' ' || *c == 127 ? '?' : *c);
    else
        json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(7));
}

/* Objects as indented lines, arrays on one line. */
static void print_lines(json_t *object, int indent)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        printf("%*s%s:", indent, "", key);
        if (json_is_object(value)) {
            putchar('\n');
            print_lines(value, indent + 2);
            continue;
        }
        putchar(' ');
        print_scalar(value);
        putchar('\n');
    }
}

static lcf_status run(const arguments *o, lcf_err *err)
{
    json_t *out = json_object();
    lcf_status status = LCF_OK;

    if (!out)
        return LCF_FAIL(err, LCF_ENOMEM, "output");
    if (o->system)
        describe_system(out);
    else
        status = describe_path(out, o->path, o->tensors, err);
    if (!status && o->json) {
        json_dumpf(out, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(7));
        putchar('\n');
    } else if (!status) {
        print_lines(out, 0);
    }
    if (!status && o->system && !json_is_true(json_object_get(out, "blas_fast")))
        fprintf(stderr, "llmcf inspect: OpenBLAS runs a slow fallback core; set OPENBLAS_CORETYPE "
                        "to that of this processor's kin (Haswell, SkylakeX)\n");
    if (!status && (fflush(stdout) || ferror(stdout)))
        status = LCF_FAIL_ERRNO(err, "writing standard output");
    json_decref(out);
    return status;
}

int lcf_cmd_inspect(int argc, char **argv)
{
    static const lcf_options options = {"inspect", DOC, OPTIONS, check, NULL};
    arguments o = {NULL, false, false, false};
    lcf_err err = LCF_ERR_INIT;
    lcf_status status = lcf_options_parse(&options, argc, argv, &o, &err);

    if (!status)
        status = run(&o, &err);
    return lcf_cli_finish("inspect", status, &err);
}
